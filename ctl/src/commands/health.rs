//! `bedplate health`.

use std::process::ExitCode;

use api::v1alpha1::machine_service_client::MachineServiceClient;
use api::v1alpha1::{HealthCheckResult, StatusRequest};
use clap::Args;
use serde::Serialize;
use tonic::Response;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::fan::{ask, show};
use crate::session::Session;
use crate::ui::{Show, Table};

/// Shows whether nodes are healthy.
#[derive(Debug, Args)]
pub struct Health {}

/// What is known about a node's health.
#[derive(Debug, Serialize)]
struct Found {
    healthy: bool,
    /// What the standard gRPC health service says of the API itself.
    serving: bool,
    checks: Vec<HealthCheckResult>,
}

impl Health {
    /// Asks, shows, and fails if a node is not healthy.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        let answers = ask(&session, |node| async {
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
            Ok(Response::new(Found {
                healthy: serving && health.healthy,
                serving,
                checks: health.checks,
            }))
        })
        .await;
        let code = show(&session, &answers)?;
        let all = answers
            .iter()
            .all(|answer| answer.result.as_ref().is_ok_and(|found| found.healthy));
        Ok(if all { code } else { ExitCode::FAILURE })
    }
}

impl Show for Found {
    fn show(&self, table: &mut Table) {
        let word = |healthy| if healthy { "healthy" } else { "unhealthy" }.to_owned();
        table.headings(&["CHECK", "STATE", "MESSAGE"]);
        for check in &self.checks {
            table.row([check.name.clone(), word(check.healthy), check.message.clone()]);
        }
        table.row(["node".into(), word(self.healthy), String::new()]);
    }
}
