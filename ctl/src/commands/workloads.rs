//! `bedplate workloads`, and what `bedplate workload` asks of nodes. A workload is a service of the node, by a name of its own.

use std::process::ExitCode;
use std::time::Duration;

use api::names::word;
use api::v1alpha1::service_service_client::ServiceServiceClient;
use api::v1alpha1::{
    ListServicesRequest, ListServicesResponse, RestartServiceRequest, ServiceHealth, ServiceInfo,
    ServiceState, StartServiceRequest, StopServiceRequest,
};
use clap::Args;
use serde::Serialize;

use super::done::Done;
use crate::fan_out::call_and_show;
use crate::session::Session;
use crate::ui::{Show, Table, bytes, duration};

/// What stands before a workload's name in that of its service.
const PREFIX: &str = "workload-";

/// Lists workloads.
#[derive(Debug, Args)]
pub struct Workloads {}

impl Workloads {
    /// Calls the nodes and prints the results.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        call_and_show(&session, |node| async {
            let response = ServiceServiceClient::new(node.channel)
                .list(ListServicesRequest {})
                .await?;
            Ok(response.map(List::of))
        })
        .await
    }
}

/// The workloads of a node, as services.
#[derive(Debug, Serialize)]
struct List {
    workloads: Vec<ServiceInfo>,
}

impl List {
    /// Takes the workloads out of all services, by their own names.
    fn of(all: ListServicesResponse) -> Self {
        let workloads = all.services.into_iter().filter_map(|service| {
            let name = service.name.strip_prefix(PREFIX)?.to_owned();
            Some(ServiceInfo { name, ..service })
        });
        Self {
            workloads: workloads.collect(),
        }
    }
}

impl Show for List {
    fn show(&self, table: &mut Table) {
        table.headings(&[
            "NAME", "STATE", "HEALTH", "SINCE", "RESTARTS", "MEMORY", "WRITTEN", "MESSAGE",
        ]);
        let known = |number: u64| match number {
            0 => String::new(),
            number => bytes(number),
        };
        for one in &self.workloads {
            table.row([
                one.name.clone(),
                word::<ServiceState>(one.state),
                word::<ServiceHealth>(one.health),
                duration(Duration::from_millis(one.state_ms)),
                one.restarts.to_string(),
                known(one.memory_bytes),
                known(one.written_bytes),
                one.message.clone(),
            ]);
        }
    }
}

/// What can be asked of a workload.
#[derive(Debug, Clone, Copy)]
pub enum Act {
    /// Start it.
    Start,
    /// Stop it.
    Stop,
    /// Stop and start it.
    Restart,
}

/// Asks the session's nodes for something about a workload.
pub async fn act(session: Session, act: Act, workload: String) -> anyhow::Result<ExitCode> {
    // People copy either name out of a list.
    let workload = workload.strip_prefix(PREFIX).unwrap_or(&workload).to_owned();
    call_and_show(&session, |node| {
        let workload = workload.clone();
        async move {
            let mut client = ServiceServiceClient::new(node.channel);
            let name = format!("{PREFIX}{workload}");
            let done = match act {
                Act::Start => {
                    client.start(StartServiceRequest { name }).await?;
                    "started"
                }
                Act::Stop => {
                    client.stop(StopServiceRequest { name }).await?;
                    "stopped"
                }
                Act::Restart => {
                    client.restart(RestartServiceRequest { name }).await?;
                    "restarted"
                }
            };
            Ok(tonic::Response::new(Done::new("workload", workload, done)))
        }
    })
    .await
}
