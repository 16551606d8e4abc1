//! The interface of the part that upgrades the node.

use std::num::NonZeroU64;

use api::v1alpha1::{UpgradeMode, UpgradeRecord, UpgradeStatus};
use async_trait::async_trait;
use state::kinds::upgrade::Mode;
use tokio::sync::watch;

use super::BackendError;

/// A request for an upgrade.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartUpgrade {
    /// The bundle.
    pub source: UpgradeSource,
    /// When the node reboots into it.
    pub mode: Mode,
    /// Only plan.
    pub plan_only: bool,
    /// Override refusals, where that is possible. The caller was found to be allowed to.
    pub force: bool,
    /// Download limit in bytes per second.
    pub rate_limit: Option<NonZeroU64>,
    /// Name of the caller, for the log.
    pub who: String,
}

/// Returns a mode as the API has it.
pub fn mode(mode: Mode) -> UpgradeMode {
    match mode {
        Mode::Now => UpgradeMode::Now,
        Mode::Staged => UpgradeMode::Staged,
        Mode::Window => UpgradeMode::Window,
    }
}

/// The source of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpgradeSource {
    /// On a web server: http or https.
    Url(String),
    /// The client has the bundle, and sends what is requested.
    Pushed {
        /// Length of the bundle in bytes.
        length: u64,
    },
}

impl UpgradeSource {
    /// Returns the address of a bundle on a web server.
    pub fn url(&self) -> Option<&str> {
        match self {
            UpgradeSource::Url(url) => Some(url),
            UpgradeSource::Pushed { .. } => None,
        }
    }
}

/// A bundle that a client has.
///
/// Blocks: not to be used on the threads of the async runtime. A read without an answer fails after a while with
/// [`PushError::Silent`].
pub trait PushedBundle: Send {
    /// Returns the length of the bundle, as announced by the client.
    fn length(&self) -> u64;
    /// Requests a piece and waits for it: 1 to [`api::MAX_DATA`] bytes, all within the bundle. The result has exactly the
    /// requested length.
    fn read(&mut self, offset: u64, length: u32) -> Result<Vec<u8>, PushError>;
}

/// The reason why a piece of a pushed bundle did not arrive. After any of these no other piece arrives.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// The connection ended.
    #[error(
        "the client that pushed the bundle has disconnected; run the upgrade again: what was written is kept"
    )]
    Gone,
    /// The client is connected, but sends nothing.
    #[error(
        "the client did not send the requested data in time; run the upgrade again: what was written is kept"
    )]
    Silent,
    /// The client sent something that was not requested.
    #[error("the client violated the protocol: {0}")]
    Wrong(String),
    /// The node requested bytes outside the bundle: a bug of the caller.
    #[error("{length} bytes at offset {offset} are not within the bundle of {bundle} bytes")]
    OutOfRange {
        /// First byte.
        offset: u64,
        /// Bytes.
        length: u32,
        /// Length of the bundle.
        bundle: u64,
    },
}

/// Upgrades the node.
#[async_trait]
pub trait Upgrades: Send + Sync {
    /// Starts an upgrade and returns its id, once the node is bound to do it, before it does. `pushed` is there exactly
    /// when the source is. Refused while another one runs or is armed.
    ///
    /// By then [`Upgrades::status`] shows the upgrade under that id, and does so until the next one starts: its last
    /// state stays to be seen. It has ended when the stage is idle (only planned, or cancelled), waiting, armed,
    /// rebooting or failed. With a pushed bundle the job drops `pushed` as soon as it needs it no more.
    ///
    /// Where findings speak against the upgrade, the status has the plan with all of them, and only then fails.
    async fn start(
        &self,
        start: StartUpgrade,
        pushed: Option<Box<dyn PushedBundle>>,
    ) -> Result<String, BackendError>;
    /// Returns the status, to look at or to wait for changes of. A writer keeps it to a few changes a second.
    fn status(&self) -> watch::Receiver<UpgradeStatus>;
    /// Returns what became of past upgrades, the latest first.
    async fn history(&self) -> Result<Vec<UpgradeRecord>, BackendError>;
    /// Cancels the upgrade that runs, waits or is armed, and returns its id once nothing of it goes on.
    async fn cancel(&self) -> Result<String, BackendError>;
    /// Makes the other slot the preferred one and restarts into it; returns its version once the node is bound to do it.
    async fn rollback(&self) -> Result<String, BackendError>;
}

/// Stands for the node's upgrades where it was not started from a slot, as on a developer's machine: refuses all.
pub struct WithoutSlots {
    status: watch::Sender<UpgradeStatus>,
}

impl Default for WithoutSlots {
    fn default() -> Self {
        let status = UpgradeStatus {
            stage: api::v1alpha1::UpgradeStage::Idle.into(),
            ..UpgradeStatus::default()
        };
        WithoutSlots {
            status: watch::Sender::new(status),
        }
    }
}

fn without_slots() -> BackendError {
    BackendError::Refused(
        "this system was not started from a slot, so there is no other slot to upgrade; install a bundle with `bedplate flash`"
            .to_owned(),
    )
}

#[async_trait]
impl Upgrades for WithoutSlots {
    async fn start(&self, _: StartUpgrade, _: Option<Box<dyn PushedBundle>>) -> Result<String, BackendError> {
        Err(without_slots())
    }

    fn status(&self) -> watch::Receiver<UpgradeStatus> {
        self.status.subscribe()
    }

    async fn history(&self) -> Result<Vec<UpgradeRecord>, BackendError> {
        Ok(Vec::new())
    }

    async fn cancel(&self) -> Result<String, BackendError> {
        Err(without_slots())
    }

    async fn rollback(&self) -> Result<String, BackendError> {
        Err(without_slots())
    }
}
