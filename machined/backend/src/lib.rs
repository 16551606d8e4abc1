//! What the API needs from the rest of the node.
//!
//! Small traits, one for each part that answers. They use the API's own messages: a second set of structs would
//! only be copied field by field. The parts implement them; the crate `server` has a fake of all for tests.

mod caller;
mod containers;
mod etcd;
mod firmware;
pub mod grant;
mod health;
mod kubernetes;
pub mod peer;
mod peers;
mod status;
mod upgrades;
mod workloads;

use std::pin::Pin;
use std::sync::Arc;

use api::v1alpha1::{
    ApplyConfigResponse, ApplyMode, EventsResponse, LogsResponse, ResetScope, ServiceInfo, StatusResponse,
    VersionResponse,
};
use async_trait::async_trait;
use futures::Stream;
use tokio::sync::broadcast;

pub use caller::Caller;
pub use containers::Containers;
pub use etcd::{Etcd, SnapshotPieces, SnapshotSource};
pub use firmware::{Firmware, WithoutFirmware};
pub use grant::{Grant, Revoked};
pub use health::{health, trial_health};
pub use kubernetes::Kubernetes;
pub use peers::Peers;

pub use upgrades::{PushError, PushedBundle, StartUpgrade, UpgradeSource, Upgrades, WithoutSlots, mode};
pub use workloads::{Images, Pull, PullCount, Workloads};

/// Everything the handlers call, besides the resource store and the kernel's own files.
#[derive(Clone)]
pub struct Backend {
    /// Version and status of the node.
    pub machine: Arc<dyn Machine>,
    /// The services.
    pub services: Arc<dyn Services>,
    /// Logs and events.
    pub logs: Arc<dyn Logs>,
    /// The machine config.
    pub configs: Arc<dyn Configs>,
    /// Reboot, shutdown and reset.
    pub power: Arc<dyn Power>,
    /// Upgrades.
    pub upgrades: Arc<dyn Upgrades>,
    /// The etcd of a control plane.
    pub etcd: Arc<dyn Etcd>,
    /// The Kubernetes of a control plane.
    pub kubernetes: Arc<dyn Kubernetes>,
    /// The other nodes of the cluster.
    pub peers: Arc<dyn Peers>,
    /// The workloads.
    pub workloads: Arc<dyn Workloads>,
    /// Their images.
    pub images: Arc<dyn Images>,
    /// The containers of the node.
    pub containers: Arc<dyn Containers>,
    /// The files that the firmware reads.
    pub firmware: Arc<dyn Firmware>,
}

/// Version and status of the node. Answers at once, from memory.
pub trait Machine: Send + Sync {
    /// Returns the release; the server fills in `api`.
    fn version(&self) -> VersionResponse;
    /// Returns the status; the server fills in `kernel`, `uptime_ms` and `agent_rss_bytes`.
    fn status(&self) -> StatusResponse;
}

/// The services of the node.
#[async_trait]
pub trait Services: Send + Sync {
    /// Lists all, by name.
    fn list(&self) -> Vec<ServiceInfo>;
    /// Starts one that is stopped; one that runs already is left alone. Returns when it is on its way.
    async fn start(&self, name: &str) -> Result<(), BackendError>;
    /// Stops one, and keeps it stopped. Returns when it has ended.
    async fn stop(&self, name: &str) -> Result<(), BackendError>;
    /// Stops one and starts it again.
    async fn restart(&self, name: &str) -> Result<(), BackendError>;
}

/// A stream of responses. A reader that is too slow loses some; it never blocks the writer.
pub type Answers<T> = Pin<Box<dyn Stream<Item = T> + Send>>;

/// The logs and events of the node.
pub trait Logs: Send + Sync {
    /// Returns the sources: `machined` and the services.
    fn sources(&self) -> Vec<String>;
    /// Opens the log of one source, the last `tail` lines first (`None`: all), then, to follow, what comes.
    fn open(
        &self,
        source: &str,
        tail: Option<usize>,
        follow: bool,
    ) -> Result<Answers<LogsResponse>, BackendError>;
    /// Opens the node's events in the same way.
    fn events(&self, tail: Option<usize>, follow: bool) -> Answers<EventsResponse>;
}

/// A request to apply a machine config.
#[derive(Debug, Clone)]
pub struct Apply {
    /// The caller. Its rights are checked once more before anything is done: the request may have taken long.
    pub caller: Caller,
    /// The whole document.
    pub yaml: String,
    /// The mode; never unspecified.
    pub mode: ApplyMode,
    /// Validate and compare only.
    pub dry_run: bool,
    /// Time after which mode `try` reverts it.
    pub try_timeout: std::time::Duration,
    /// The revision that the caller has read and changed, if any other is to be refused.
    pub expected_revision: Option<String>,
}

/// The config in effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CurrentConfig {
    /// The document, with or without its secrets.
    pub yaml: String,
    /// Its revision, never newer than the document.
    pub revision: String,
}

/// The machine config of the node.
#[async_trait]
pub trait Configs: Send + Sync {
    /// Returns the config in effect, with or without its secrets; `None` in maintenance mode.
    fn current(&self, secrets: bool) -> Option<CurrentConfig>;
    /// Validates a config, and applies it unless it is a dry run. An error has changed nothing.
    async fn apply(&self, apply: Apply) -> Result<ApplyConfigResponse, BackendError>;
}

/// Reboot, shutdown and reset of the node. Each call returns once the node is committed to it, before it happens.
#[async_trait]
pub trait Power: Send + Sync {
    /// Reboots the node.
    async fn reboot(&self) -> Result<(), BackendError>;
    /// Shuts the node down.
    async fn shutdown(&self) -> Result<(), BackendError>;
    /// Wipes the node, then reboots or shuts down.
    async fn reset(&self, scope: ResetScope, shutdown: bool) -> Result<(), BackendError>;
}

/// The reason why a request failed. The text names the thing and the way out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    /// The thing does not exist: gRPC `NOT_FOUND`.
    #[error("{0}")]
    NotFound(String),
    /// The request is invalid; each fault as path and text: gRPC `INVALID_ARGUMENT` with details.
    #[error("{}", faults_text(.0))]
    Invalid(Vec<(String, String)>),
    /// The request cannot be done in the current state: gRPC `FAILED_PRECONDITION`.
    #[error("{0}")]
    Refused(String),
    /// Somebody else changed the thing meanwhile: gRPC `ABORTED`.
    #[error("{0}")]
    Conflict(String),
    /// The caller is no longer allowed to: gRPC `UNAUTHENTICATED`.
    #[error("{0}")]
    Unauthenticated(String),
    /// The request may work later: gRPC `UNAVAILABLE`.
    #[error("{0}")]
    Unavailable(String),
    /// An internal error: gRPC `INTERNAL`.
    #[error("{0}")]
    Internal(String),
}

fn faults_text(faults: &[(String, String)]) -> String {
    let one = |(path, text): &(String, String)| match path.as_str() {
        "" => text.clone(),
        path => format!("{path}: {text}"),
    };
    faults.iter().map(one).collect::<Vec<_>>().join("\n")
}

/// Returns a stream of the kept items, then of new ones. `lost` records in the next item how many were lost before it.
pub fn answers<T: Clone + Send + 'static>(
    kept: Vec<T>,
    live: Option<broadcast::Receiver<T>>,
    lost: fn(&mut T, u64),
) -> Answers<T> {
    let start = (kept.into_iter(), live);
    Box::pin(futures::stream::unfold(
        start,
        move |(mut kept, mut live)| async move {
            if let Some(item) = kept.next() {
                return Some((item, (kept, live)));
            }
            let mut missed = 0;
            loop {
                match live.as_mut()?.recv().await {
                    Ok(mut item) => {
                        if missed > 0 {
                            lost(&mut item, missed);
                        }
                        return Some((item, (kept, live)));
                    }
                    Err(broadcast::error::RecvError::Lagged(count)) => missed += count,
                    Err(broadcast::error::RecvError::Closed) => return None,
                }
            }
        },
    ))
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;

    use super::*;

    #[tokio::test]
    async fn kept_lines_come_first_then_live_ones_and_losses_are_told() {
        let (sender, receiver) = broadcast::channel(2);
        for number in 3..=6 {
            sender.send((number, 0)).unwrap();
        }
        drop(sender);
        let all: Vec<(u32, u64)> = answers(vec![(1, 0), (2, 0)], Some(receiver), |item, lost| item.1 = lost)
            .collect()
            .await;
        assert_eq!(all, [(1, 0), (2, 0), (5, 2), (6, 0)]);
        let all: Vec<(u32, u64)> = answers(vec![(1, 0)], None, |_, _| {}).collect().await;
        assert_eq!(all, [(1, 0)]);
    }

    #[test]
    fn every_fault_has_its_line() {
        let faults = [("machine.role", "unknown"), ("", "too long")];
        let error = BackendError::Invalid(faults.map(|(a, b)| (a.into(), b.into())).to_vec());
        assert_eq!(error.to_string(), "machine.role: unknown\ntoo long");
    }
}
