//! What the API needs from the rest of the node.
//!
//! Small traits, one for each part that answers. They speak in the API's own messages: a second set of structs would
//! only be copied field by field. The parts implement them; [`super::testing`] has a fake of all.

pub mod grant;
mod health;
pub mod peer;
mod status;
mod upgrades;

use std::pin::Pin;
use std::sync::Arc;

use api::v1alpha1::{
    ApplyConfigResponse, ApplyMode, EventsResponse, LogsResponse, ResetScope, ServiceInfo, StatusResponse,
    VersionResponse,
};
use async_trait::async_trait;
use futures::Stream;
use tokio::sync::broadcast;

pub use grant::{Grant, Revoked};
pub use health::{health, trial_health};
pub use peer::Caller;
pub use upgrades::{PushError, PushedBundle, StartUpgrade, UpgradeSource, Upgrades, WithoutSlots};

/// Everything the handlers call, besides the resource store and the kernel's own files.
#[derive(Clone)]
pub struct Backend {
    /// Knows what the node is and how it fares.
    pub machine: Arc<dyn Machine>,
    /// Runs the services.
    pub services: Arc<dyn Services>,
    /// Keeps what was said.
    pub logs: Arc<dyn Logs>,
    /// Holds the machine config.
    pub configs: Arc<dyn Configs>,
    /// Restarts, stops and wipes the node.
    pub power: Arc<dyn Power>,
    /// Upgrades the node.
    pub upgrades: Arc<dyn Upgrades>,
}

/// Knows what the node is and how it fares. Answers at once, from what is in memory.
pub trait Machine: Send + Sync {
    /// Tells the release; `api` is filled in by the server.
    fn version(&self) -> VersionResponse;
    /// Tells the state; `kernel`, `uptime_ms` and `agent_rss_bytes` are filled in by the server.
    fn status(&self) -> StatusResponse;
}

/// Runs the services.
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

/// A stream of answers. A reader that is too slow loses some; it never holds up the writer.
pub type Answers<T> = Pin<Box<dyn Stream<Item = T> + Send>>;

/// Keeps what was said.
pub trait Logs: Send + Sync {
    /// Names the sources: `machined` and the services.
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

/// Asks for a new machine config.
#[derive(Debug, Clone)]
pub struct Apply {
    /// Who asks. What the caller may do is checked once more before anything is done: the request may have been on its
    /// way for long.
    pub caller: Caller,
    /// The whole document.
    pub yaml: String,
    /// How it takes effect; never unspecified.
    pub mode: ApplyMode,
    /// Validate and compare only.
    pub dry_run: bool,
    /// After how long mode `try` takes it back.
    pub try_timeout: std::time::Duration,
}

/// Holds the machine config.
#[async_trait]
pub trait Configs: Send + Sync {
    /// Returns the accepted config as YAML, with or without its secrets; `None` in maintenance mode.
    fn current(&self, secrets: bool) -> Option<String>;
    /// Validates a config, and makes it the node's unless it is a dry run. An error has changed nothing.
    async fn apply(&self, apply: Apply) -> Result<ApplyConfigResponse, BackendError>;
}

/// Restarts, stops and wipes the node. Each call returns once the node is bound to do it, before it does.
#[async_trait]
pub trait Power: Send + Sync {
    /// Restarts.
    async fn reboot(&self) -> Result<(), BackendError>;
    /// Switches off.
    async fn shutdown(&self) -> Result<(), BackendError>;
    /// Wipes, then restarts, or switches off.
    async fn reset(&self, scope: ResetScope, shutdown: bool) -> Result<(), BackendError>;
}

/// Why a part could not do as asked. The text names the thing and the way out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    /// There is no such thing: gRPC `NOT_FOUND`.
    #[error("{0}")]
    NotFound(String),
    /// The request is wrong, fault by fault, each as path and text: gRPC `INVALID_ARGUMENT` with details.
    #[error("{}", faults_text(.0))]
    Invalid(Vec<(String, String)>),
    /// It cannot be done in the present state: gRPC `FAILED_PRECONDITION`.
    #[error("{0}")]
    Refused(String),
    /// Whoever asks may no longer do so: gRPC `UNAUTHENTICATED`.
    #[error("{0}")]
    Unauthenticated(String),
    /// It may work later: gRPC `UNAVAILABLE`.
    #[error("{0}")]
    Unavailable(String),
    /// Something broke: gRPC `INTERNAL`.
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

/// Makes a stream of what was kept, then of what comes. `lost` notes in the next item how many were lost before it.
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
