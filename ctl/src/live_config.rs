//! The machine config of a node that is read, changed and applied again.

use api::v1alpha1::machine_service_client::MachineServiceClient;
use api::v1alpha1::{ApplyConfigRequest, ApplyConfigResponse, GetConfigRequest};
use tokio::time::timeout;
use tonic::Code;
use zeroize::Zeroizing;

use crate::connect::Node;
use crate::explain::Problem;
use crate::session::Session;

/// The config of a node, as it was read.
pub struct LiveConfig {
    /// The document.
    pub yaml: Zeroizing<String>,
    /// Secrets are redacted in it.
    pub redacted: bool,
    /// Its revision; never empty.
    pub revision: String,
}

/// Why a node did not take a changed config.
pub struct Failure {
    /// What the node said.
    pub problem: Problem,
    /// The config itself is the reason: it can be corrected, and applied once more.
    pub correctable: bool,
}

/// Reads the config of a node.
pub async fn read_config(session: &Session, node: &Node) -> Result<LiveConfig, Problem> {
    let mut machine = MachineServiceClient::new(node.channel.clone());
    match timeout(session.timeout, machine.get_config(GetConfigRequest {})).await {
        Ok(Ok(response)) => {
            let response = response.into_inner();
            if response.revision.is_empty() {
                return Err(Problem::new(format!(
                    "{} runs a release that cannot tell whether its config was changed meanwhile; upgrade it, or use get-config and apply",
                    node.address
                )));
            }
            Ok(LiveConfig {
                yaml: Zeroizing::new(response.yaml),
                redacted: response.redacted,
                revision: response.revision,
            })
        }
        Ok(Err(status)) => Err(node.problem(&status)),
        Err(_) => Err(Problem::timed_out(&node.address, session.timeout)),
    }
}

/// Applies a config that was made of the one with the expected revision.
pub async fn apply_changed(
    session: &Session,
    node: &Node,
    request: ApplyConfigRequest,
) -> Result<ApplyConfigResponse, Failure> {
    let mut machine = MachineServiceClient::new(node.channel.clone());
    match timeout(session.timeout, machine.apply_config(request)).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(Failure {
            correctable: matches!(status.code(), Code::InvalidArgument | Code::FailedPrecondition),
            problem: node.problem(&status),
        }),
        Err(_) => Err(Failure {
            problem: Problem::timed_out(&node.address, session.timeout),
            correctable: false,
        }),
    }
}
