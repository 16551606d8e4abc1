//! `bedplate health`.

use std::process::ExitCode;
use std::time::Duration;

use api::v1alpha1::machine_service_client::MachineServiceClient;
use api::v1alpha1::{Health as NodeHealth, HealthCheckResult, HealthReason, HealthState, StatusRequest};
use clap::Args;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};
use tonic::Response;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::resources;
use crate::fan_out::{NodeResponse, call_all, show};
use crate::session::Session;
use crate::ui::{Show, Table};

/// Shows whether nodes are healthy.
#[derive(Debug, Args)]
pub struct Health {
    /// Wait until all nodes, all nodes of their cluster, and all members of its etcd are healthy, at most so long.
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = "10m", value_parser = quantity::time)]
    wait: Option<Duration>,
}

/// How long it waits between two looks.
const PAUSE: Duration = Duration::from_secs(2);

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
    /// The nodes of the cluster, as a control plane sees them; empty on others.
    cluster: Vec<ClusterNode>,
    /// The members of the cluster's etcd, as a control plane sees them; empty on others.
    etcd: Vec<EtcdMember>,
}

/// The kind of what a control plane knows of the members of etcd.
const ETCD_MEMBERS: &str = "EtcdMemberStatus";

/// A member of etcd.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct EtcdMember {
    #[serde(default)]
    name: String,
    leader: bool,
    learner: bool,
    problem: Option<String>,
}

/// The kind of what a control plane knows of the cluster's nodes.
const CLUSTER_NODES: &str = "ClusterNodeStatus";

/// A node of the cluster.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClusterNode {
    #[serde(default)]
    name: String,
    control_plane: bool,
    problem: Option<String>,
    cordoned: bool,
    version: String,
}

impl HealthReport {
    fn cluster_is_ready(&self) -> bool {
        let nodes = self.cluster.iter().all(|node| node.problem.is_none());
        nodes && self.etcd.iter().all(|member| member.problem.is_none())
    }
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
        let end = self.wait.map(|wait| Instant::now() + wait);
        let mut responses = ask(&session).await;
        while end.is_some_and(|end| Instant::now() + PAUSE < end) && !all_healthy(&responses) {
            sleep(PAUSE).await;
            responses = ask(&session).await;
        }
        let code = show(&session, &responses)?;
        let found: Option<Vec<&HealthReport>> = responses
            .iter()
            .map(|response| response.result.as_ref().ok())
            .collect();
        let Some(found) = found else { return Ok(code) };
        let any = |state: &str| found.iter().any(|found| found.state == state);
        let incomplete = found.iter().any(|found| !found.cluster_is_ready());
        Ok(if any("unhealthy") {
            ExitCode::from(UNHEALTHY)
        } else if any("degraded") || incomplete {
            ExitCode::from(DEGRADED)
        } else {
            code
        })
    }
}

fn all_healthy(responses: &[NodeResponse<HealthReport>]) -> bool {
    let healthy = |report: &HealthReport| report.state == "healthy" && report.cluster_is_ready();
    responses
        .iter()
        .all(|response| response.result.as_ref().is_ok_and(healthy))
}

/// Asks each node for its health.
async fn ask(session: &Session) -> Vec<NodeResponse<HealthReport>> {
    call_all(session, |node| async {
        let request = HealthCheckRequest {
            service: String::new(),
        };
        let serving = HealthClient::new(node.channel.clone())
            .check(request)
            .await?
            .into_inner();
        let serving = serving.status == i32::from(tonic_health::ServingStatus::Serving as u8);
        let cluster = resources::list(node.channel.clone(), CLUSTER_NODES).await?;
        let etcd = resources::list(node.channel.clone(), ETCD_MEMBERS).await?;
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
            cluster: cluster
                .into_iter()
                .map(|(name, node)| ClusterNode { name, ..node })
                .collect(),
            etcd: etcd
                .into_iter()
                .map(|(name, member)| EtcdMember { name, ..member })
                .collect(),
        }))
    })
    .await
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
        for node in &self.cluster {
            let cordoned = node.cordoned.then(|| "cordoned".to_owned());
            let role = if node.control_plane {
                "control plane"
            } else {
                "worker"
            };
            let state = if node.problem.is_none() {
                "ready"
            } else {
                "not ready"
            };
            let message: Vec<String> = node.problem.iter().cloned().chain(cordoned).collect();
            table.row([
                format!("{role} {}", node.name),
                state.to_owned(),
                message.join("; "),
            ]);
        }
        for member in &self.etcd {
            let roles = [(member.leader, "leader"), (member.learner, "learner")];
            let roles = roles.into_iter().filter(|(holds, _)| *holds);
            let roles = roles.map(|(_, role)| role.to_owned());
            let message: Vec<String> = member.problem.iter().cloned().chain(roles).collect();
            table.row([
                format!("etcd {}", member.name),
                word(member.problem.is_none()),
                message.join("; "),
            ]);
        }
        table.row(["node".into(), self.state.into(), String::new()]);
    }
}
