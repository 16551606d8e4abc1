//! `bedplate health`.

use std::process::ExitCode;

use api::v1alpha1::machine_service_client::MachineServiceClient;
use api::v1alpha1::{Health as NodeHealth, HealthCheckResult, HealthReason, HealthState, StatusRequest};
use clap::Args;
use serde::Serialize;
use tonic::Response;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::fan_out::{call_all, show};
use crate::session::Session;
use crate::ui::{Show, Table};

/// Shows whether nodes are healthy.
#[derive(Debug, Args)]
pub struct Health {}

/// Exit code when a node is degraded and none is unhealthy.
const DEGRADED: u8 = 3;
/// Exit code when a node is unhealthy.
const UNHEALTHY: u8 = 4;

/// A node's health.
#[derive(Debug, Serialize)]
struct HealthReport {
    /// The overall state: `healthy`, `degraded` or `unhealthy`.
    state: &'static str,
    /// Everything that is required holds.
    healthy: bool,
    /// The response of the standard gRPC health service.
    serving: bool,
    reasons: Vec<HealthReason>,
    checks: Vec<HealthCheckResult>,
}

/// Returns the overall state. Nodes of older releases do not know `degraded`.
pub(super) fn word(health: &NodeHealth) -> &'static str {
    match (health.state(), health.healthy) {
        (HealthState::Degraded, _) => "degraded",
        (HealthState::Healthy, true) | (HealthState::Unspecified, true) => "healthy",
        _ => "unhealthy",
    }
}

impl Health {
    /// Calls the nodes, prints the results, and returns the state of the worst node as exit code.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        let responses = call_all(&session, |node| async {
            let request = HealthCheckRequest {
                service: String::new(),
            };
            let serving = HealthClient::new(node.channel.clone())
                .check(request)
                .await?
                .into_inner();
            let serving = serving.status == i32::from(tonic_health::ServingStatus::Serving as u8);
            let status = MachineServiceClient::new(node.channel)
                .status(StatusRequest {})
                .await?
                .into_inner();
            let health = status.health.unwrap_or_default();
            let state = if serving { word(&health) } else { "unhealthy" };
            Ok(Response::new(HealthReport {
                state,
                healthy: serving && health.healthy,
                serving,
                reasons: health.reasons,
                checks: health.checks,
            }))
        })
        .await;
        let code = show(&session, &responses)?;
        let found: Option<Vec<&HealthReport>> = responses
            .iter()
            .map(|response| response.result.as_ref().ok())
            .collect();
        let Some(found) = found else { return Ok(code) };
        let any = |state: &str| found.iter().any(|found| found.state == state);
        Ok(if any("unhealthy") {
            ExitCode::from(UNHEALTHY)
        } else if any("degraded") {
            ExitCode::from(DEGRADED)
        } else {
            code
        })
    }
}

impl Show for HealthReport {
    fn show(&self, table: &mut Table) {
        let word = |healthy| if healthy { "healthy" } else { "unhealthy" }.to_owned();
        table.headings(&["CHECK", "STATE", "MESSAGE"]);
        for check in &self.checks {
            table.row([check.name.clone(), word(check.healthy), check.message.clone()]);
        }
        let checked = |source: &str| {
            self.checks
                .iter()
                .any(|check| check.name == source && !check.healthy)
        };
        for reason in self.reasons.iter().filter(|reason| !checked(&reason.source)) {
            let state = api::names::word::<HealthState>(reason.state);
            table.row([reason.source.clone(), state, reason.text.clone()]);
        }
        table.row(["node".into(), self.state.into(), String::new()]);
    }
}
