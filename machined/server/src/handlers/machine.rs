//! The node as a whole.

use std::time::{Duration, SystemTime};

use api::v1alpha1::machine_service_server::MachineService;
use api::v1alpha1::{
    ApplyConfigRequest, ApplyConfigResponse, ApplyMode, GetConfigRequest, GetConfigResponse, RebootRequest,
    RebootResponse, ResetRequest, ResetResponse, ResetScope, ShutdownRequest, ShutdownResponse,
    StatusRequest, StatusResponse, TimeRequest, TimeResponse, VersionRequest, VersionResponse,
};
use backend::Apply;
use tonic::{Request, Response, Status};

use super::{Handlers, caller};
use crate::facts;

#[tonic::async_trait]
impl MachineService for Handlers {
    async fn version(&self, _: Request<VersionRequest>) -> Result<Response<VersionResponse>, Status> {
        let mut version = self.backend.machine.version();
        version.api = api::VERSION.to_owned();
        version.kernel = self.host.kernel();
        Ok(Response::new(version))
    }

    async fn status(&self, request: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        let mut status = self.backend.machine.status();
        if caller(&request)?.role.is_none()
            && let Some(health) = &mut status.health
        {
            facts::hide_config(health);
        }
        status.kernel = self.host.kernel();
        status.uptime_ms = self.host.uptime_ms();
        status.agent_rss_bytes = self.host.own_rss_bytes();
        Ok(Response::new(status))
    }

    async fn time(&self, _: Request<TimeRequest>) -> Result<Response<TimeResponse>, Status> {
        let mut time = facts::time(&self.store);
        let since = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        time.unix_nanos = i64::try_from(since.as_nanos()).unwrap_or(i64::MAX);
        Ok(Response::new(time))
    }

    async fn get_config(
        &self,
        request: Request<GetConfigRequest>,
    ) -> Result<Response<GetConfigResponse>, Status> {
        let secrets = caller(&request)?.sees_secrets();
        let current = self.backend.configs.current(secrets).ok_or_else(|| {
            Status::failed_precondition(
                "the node has no usable machine config; apply one with `bedplate apply`",
            )
        })?;
        Ok(Response::new(GetConfigResponse {
            yaml: current.yaml,
            redacted: !secrets,
            revision: current.revision,
        }))
    }

    async fn apply_config(
        &self,
        request: Request<ApplyConfigRequest>,
    ) -> Result<Response<ApplyConfigResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let mode = match ApplyMode::try_from(request.mode) {
            Ok(ApplyMode::Unspecified) => ApplyMode::Auto,
            Ok(mode) => mode,
            Err(_) => {
                let text = format!(
                    "unknown apply mode {}; the client may be newer than the node",
                    request.mode
                );
                return Err(Status::invalid_argument(text));
            }
        };
        let apply = Apply {
            caller,
            yaml: request.yaml,
            mode,
            dry_run: request.dry_run,
            try_timeout: Duration::from_millis(request.try_timeout_ms),
            expected_revision: Some(request.expected_revision).filter(|revision| !revision.is_empty()),
        };
        Ok(Response::new(self.backend.configs.apply(apply).await?))
    }

    async fn reboot(&self, _: Request<RebootRequest>) -> Result<Response<RebootResponse>, Status> {
        self.backend.power.reboot().await?;
        Ok(Response::new(RebootResponse {}))
    }

    async fn shutdown(&self, _: Request<ShutdownRequest>) -> Result<Response<ShutdownResponse>, Status> {
        self.backend.power.shutdown().await?;
        Ok(Response::new(ShutdownResponse {}))
    }

    async fn reset(&self, request: Request<ResetRequest>) -> Result<Response<ResetResponse>, Status> {
        let request = request.into_inner();
        let scope = match ResetScope::try_from(request.scope) {
            Ok(ResetScope::Unspecified) => ResetScope::State,
            Ok(scope) => scope,
            // Wiping less or more than was asked for would both be wrong.
            Err(_) => {
                return Err(Status::invalid_argument(format!(
                    "unknown reset scope {}",
                    request.scope
                )));
            }
        };
        self.backend.power.reset(scope, request.shutdown).await?;
        Ok(Response::new(ResetResponse {}))
    }
}
