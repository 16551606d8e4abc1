//! `bedplate services` and `bedplate service`.

use std::process::ExitCode;
use std::time::Duration;

use api::names::word;
use api::v1alpha1::service_service_client::ServiceServiceClient;
use api::v1alpha1::{
    ListServicesRequest, ListServicesResponse, RestartServiceRequest, ServiceHealth, ServiceState,
    StartServiceRequest, StopServiceRequest,
};
use clap::{Args, Subcommand};

use crate::fan_out::call_and_show;
use crate::session::Session;
use crate::ui::{Show, Table, bytes, duration};

/// How long a node may take to say that a service has ended: it gives up sooner, and then says what the service does.
pub(super) const STOPPING: Duration = Duration::from_secs(60);

/// Lists services.
#[derive(Debug, Args)]
pub struct Services {}

impl Services {
    /// Calls the nodes and prints the results.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        call_and_show(&session, |node| async {
            ServiceServiceClient::new(node.channel)
                .list(ListServicesRequest {})
                .await
        })
        .await
    }
}

/// Starts, stops or restarts a service.
#[derive(Debug, Subcommand)]
pub enum Service {
    /// Start a stopped service.
    Start(Name),
    /// Stop a service until it is started again or the node reboots.
    Stop(Name),
    /// Stop and start a service.
    Restart(Name),
}

/// The name of a service.
#[derive(Debug, Args)]
pub struct Name {
    /// Name of the service.
    name: String,
}

impl Service {
    /// Runs the command.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        let session = match &self {
            Self::Stop(_) => session.patient(STOPPING),
            Self::Start(_) | Self::Restart(_) => session,
        };
        let (done, name) = match &self {
            Self::Start(name) => ("started", name.name.clone()),
            Self::Stop(name) => ("stopped", name.name.clone()),
            Self::Restart(name) => ("restarted", name.name.clone()),
        };
        call_and_show(&session, |node| {
            let (name, verb) = (name.clone(), &self);
            async move {
                let mut client = ServiceServiceClient::new(node.channel);
                match verb {
                    Self::Start(_) => drop(client.start(StartServiceRequest { name: name.clone() }).await?),
                    Self::Stop(_) => drop(client.stop(StopServiceRequest { name: name.clone() }).await?),
                    Self::Restart(_) => drop(
                        client
                            .restart(RestartServiceRequest { name: name.clone() })
                            .await?,
                    ),
                }
                Ok(tonic::Response::new(super::done::Done::new(
                    "service", name, done,
                )))
            }
        })
        .await
    }
}

/// Shows a number of bytes; nothing for none, or one that is not known.
fn known(number: u64) -> String {
    match number {
        0 => String::new(),
        number => bytes(number),
    }
}

impl Show for ListServicesResponse {
    fn show(&self, table: &mut Table) {
        table.headings(&[
            "NAME",
            "STATE",
            "HEALTH",
            "SINCE",
            "PID",
            "RESTARTS",
            "MEMORY",
            "WRITTEN",
            "LAST HOUR",
            "MESSAGE",
        ]);
        for service in &self.services {
            table.row([
                service.name.clone(),
                word::<ServiceState>(service.state),
                word::<ServiceHealth>(service.health),
                duration(Duration::from_millis(service.state_ms)),
                if service.pid > 0 {
                    service.pid.to_string()
                } else {
                    String::new()
                },
                service.restarts.to_string(),
                known(service.memory_bytes),
                known(service.written_bytes),
                known(service.written_last_hour_bytes),
                service.message.clone(),
            ]);
        }
    }
}
