//! A call to upgrade a node, and polls of a node's state.

use std::time::Duration;

use api::v1alpha1::machine_service_client::MachineServiceClient;
use api::v1alpha1::upgrade_request::Request;
use api::v1alpha1::upgrade_response::Response;
use api::v1alpha1::upgrade_service_client::UpgradeServiceClient;
use api::v1alpha1::{
    BundleData, StartUpgrade, StatusRequest, StatusResponse, UpgradeHistoryRequest, UpgradeRequest,
    UpgradeResponse, UpgradeStatusRequest, VersionRequest,
};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::{Code, Status, Streaming};

use super::decide::NodeState;
use crate::address::Address;
use crate::connect::{Node, connect};
use crate::explain::Problem;
use crate::session::Session;

/// A running call.
pub struct Call {
    sender: mpsc::Sender<Request>,
    responses: Streaming<UpgradeResponse>,
}

impl Call {
    /// Starts an upgrade; the node has `patience` to accept the call.
    pub async fn start(node: &Node, start: StartUpgrade, patience: Duration) -> Result<Self, Problem> {
        let (sender, receiver) = mpsc::channel(1);
        // There is room for one.
        let _ = sender.try_send(Request::Start(start));
        let requests = futures::stream::unfold(receiver, |mut receiver: mpsc::Receiver<Request>| async {
            let request = Some(receiver.recv().await?);
            Some((UpgradeRequest { request }, receiver))
        });
        let mut client = UpgradeServiceClient::new(node.channel.clone());
        let started = timeout(patience, client.upgrade(requests)).await;
        let started = started.map_err(|_| Problem::timed_out(&node.address, patience))?;
        let responses = started.map_err(|status| node.problem(&status))?.into_inner();
        Ok(Self { sender, responses })
    }

    /// Sends data that the node requested.
    pub async fn send(&self, data: BundleData) {
        // A call that has ended says so with its next response.
        let _ = self.sender.send(Request::Data(data)).await;
    }

    /// Waits for the node's next response; `None` at the end of the call.
    pub async fn response(&mut self) -> Result<Option<Response>, Status> {
        while let Some(response) = self.responses.message().await? {
            // Responses of newer nodes may be unknown here.
            if let Some(response) = response.response {
                return Ok(Some(response));
            }
        }
        Ok(None)
    }
}

/// Returns a node's state.
pub async fn poll(session: &Session, address: &Address, history: bool) -> Result<NodeState, Problem> {
    let node = connect(session, address).await?;
    let state = timeout(session.timeout, read_state(&node, history)).await;
    state
        .map_err(|_| Problem::timed_out(address, session.timeout))?
        .map_err(|status| node.problem(&status))
}

async fn read_state(node: &Node, history: bool) -> Result<NodeState, Status> {
    let mut machine = MachineServiceClient::new(node.channel.clone());
    let mut upgrades = UpgradeServiceClient::new(node.channel.clone());
    let version = machine.version(VersionRequest {}).await?.into_inner();
    let before = machine.status(StatusRequest {}).await?.into_inner();
    let upgrade = upgrades.status(UpgradeStatusRequest {}).await?.into_inner();
    let records = if history {
        let request = UpgradeHistoryRequest { limit: 4 };
        upgrades.history(request).await?.into_inner().records
    } else {
        Vec::new()
    };
    let status = machine.status(StatusRequest {}).await?.into_inner();
    let boot_id = |status: &StatusResponse| status.boot.clone().unwrap_or_default().boot_id;
    if boot_id(&before) != boot_id(&status) {
        // The responses belong to two boots: a decision must rest on one.
        return Err(Status::unavailable("the node rebooted in the meantime"));
    }
    let phase = status.phase();
    let boot_id = boot_id(&status);
    let health = status.health.unwrap_or_default();
    let failing = health.checks.iter().filter(|check| !check.healthy);
    let failing: Vec<String> = failing
        .map(|check| format!("{}: {}", check.name, check.message))
        .collect();
    Ok(NodeState {
        version: version.version,
        manifest: version.manifest_sha256,
        boot_id,
        uptime_ms: status.uptime_ms,
        phase,
        unhealthy: (!health.healthy).then(|| match failing.as_slice() {
            [] => "not healthy".to_owned(),
            failing => failing.join("; "),
        }),
        status: upgrade,
        records,
    })
}

/// Returns whether a call failed because its connection broke, and not because the node refused it.
pub fn is_broken_connection(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled
    )
}

/// Describes in one line why a node cannot be polled.
pub fn unreachable_text(problem: &Problem) -> String {
    if problem.unreachable {
        return "does not answer yet".to_owned();
    }
    let text = problem.to_string();
    format!(
        "does not answer yet ({})",
        text.lines().next().unwrap_or_default()
    )
}
