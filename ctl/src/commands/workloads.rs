//! `bedplate workloads`, and what `bedplate workload` asks of nodes.

use std::process::ExitCode;
use std::time::Duration;

use api::names::word;
use api::v1alpha1::workload_service_client::WorkloadServiceClient;
use api::v1alpha1::{
    ListWorkloadsRequest, ListWorkloadsResponse, RestartWorkloadRequest, ServiceHealth, ServiceState,
    StartWorkloadRequest, StopWorkloadRequest, WorkloadInfo, WorkloadStage, WorkloadUsage,
};
use clap::Args;

use super::done::Done;
use super::services::STOPPING;
use crate::fan_out::call_and_show;
use crate::session::Session;
use crate::ui::{Show, Table, bytes, duration};

/// Lists workloads.
#[derive(Debug, Args)]
pub struct Workloads {}

impl Workloads {
    /// Calls the nodes and prints the results.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        call_and_show(&session, |node| async {
            WorkloadServiceClient::new(node.channel)
                .list(ListWorkloadsRequest {})
                .await
        })
        .await
    }
}

impl Show for ListWorkloadsResponse {
    fn show(&self, table: &mut Table) {
        table.headings(&[
            "NAME", "STATE", "HEALTH", "SINCE", "RESTARTS", "STAGE", "IMAGE", "MEMORY", "CPU TIME", "PIDS",
            "MESSAGE",
        ]);
        for one in &self.workloads {
            table.row(row(one));
        }
    }
}

fn row(one: &WorkloadInfo) -> [String; 11] {
    let service = one.service.clone().unwrap_or_default();
    let usage = one.usage.as_ref();
    let message = match one.problem.as_str() {
        "" => service.message.clone(),
        problem => problem.to_owned(),
    };
    let image = match one.running_image.as_str() {
        "" => &one.image,
        running => running,
    };
    [
        one.name.clone(),
        word::<ServiceState>(service.state),
        word::<ServiceHealth>(service.health),
        match one.service {
            Some(_) => duration(Duration::from_millis(service.state_ms)),
            None => String::new(),
        },
        service.restarts.to_string(),
        word::<WorkloadStage>(one.stage),
        image.to_owned(),
        usage.map(memory).unwrap_or_default(),
        usage
            .map(|usage| duration(Duration::from_millis(usage.cpu_ms)))
            .unwrap_or_default(),
        usage.map(|usage| usage.pids.to_string()).unwrap_or_default(),
        message,
    ]
}

/// Shows how much memory is used, and of how much.
fn memory(usage: &WorkloadUsage) -> String {
    match usage.memory_limit_bytes {
        0 => bytes(usage.memory_bytes),
        limit => format!("{} of {}", bytes(usage.memory_bytes), bytes(limit)),
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
pub async fn act(session: Session, act: Act, name: String) -> anyhow::Result<ExitCode> {
    let session = match act {
        Act::Stop => session.patient(STOPPING),
        Act::Start | Act::Restart => session,
    };
    call_and_show(&session, |node| {
        let name = name.clone();
        async move {
            let mut client = WorkloadServiceClient::new(node.channel);
            let done = match act {
                Act::Start => {
                    client.start(StartWorkloadRequest { name: name.clone() }).await?;
                    "started"
                }
                Act::Stop => {
                    client.stop(StopWorkloadRequest { name: name.clone() }).await?;
                    "stopped"
                }
                Act::Restart => {
                    client
                        .restart(RestartWorkloadRequest { name: name.clone() })
                        .await?;
                    "restarted"
                }
            };
            Ok(tonic::Response::new(Done::new("workload", name, done)))
        }
    })
    .await
}
