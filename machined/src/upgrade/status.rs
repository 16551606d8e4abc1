//! How far an upgrade is: as a resource, and as the API tells it.

use std::sync::{Arc, Mutex, PoisonError};

use ::api::v1alpha1 as api;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::boot::status::ID;
use crate::resource::{Resource, Store};

/// The owner of [`UpgradeStatus`].
pub(super) const OWNER: &str = "upgrades";

/// What an upgrade is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    /// None runs.
    #[default]
    Idle,
    /// Reads the head of the bundle, and checks who signed it.
    Opening,
    /// Looks at what the slots hold already.
    Surveying,
    /// Fetches, proves and writes.
    Fetching,
    /// Reads the slot back from the medium.
    Verifying,
    /// All is written; it is armed when the maintenance window opens, and its rollout still wants it.
    Waiting,
    /// All is written: the next start is a trial.
    Armed,
    /// The node restarts into the new system.
    Rebooting,
    /// It ended without a new system.
    Failed,
}

/// When the node restarts into the new system.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    /// As soon as all is written and proved.
    #[default]
    Now,
    /// With the next restart, whoever asks for it.
    Staged,
    /// In the next maintenance window.
    Window,
}

/// Tells how far the upgrade is that runs, or the last one since the node started. Owned by `upgrades`; one, named `node`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpgradeStatus {
    /// Names the upgrade; empty before the first.
    pub id: String,
    /// What it is doing.
    pub stage: Stage,
    /// Version that ran when it started.
    pub from_version: String,
    /// Version in the bundle; empty until its manifest is read.
    pub to_version: String,
    /// SHA-256 of the bundle's manifest in hex; empty until it is read.
    pub manifest: String,
    /// Where the bundle comes from, without credentials; or `pushed`.
    pub source: String,
    /// When the node restarts into it.
    pub mode: Mode,
    /// Bytes that the plan has to fetch.
    pub fetch_bytes: u64,
    /// Bytes that came, wanted or not.
    pub fetched_bytes: u64,
    /// Bytes that the plan has to write.
    pub write_bytes: u64,
    /// Bytes written so far.
    pub written_bytes: u64,
    /// Bytes that were in place already.
    pub equal_bytes: u64,
    /// How far the present stage is.
    pub stage_bytes: u64,
    /// Bytes of the present stage in all; 0 when unknown.
    pub stage_total_bytes: u64,
    /// When it started, in milliseconds since 1970 by the node's clock.
    pub started_unix_ms: i64,
    /// When it started, in milliseconds since the kernel started.
    pub started_uptime_ms: u64,
    /// Time that is left until it is armed, in milliseconds; 0 when unknown.
    pub eta_ms: u64,
    /// Why it failed or was cancelled.
    pub reason: String,
    /// What it waits for.
    pub message: String,
}

impl Resource for UpgradeStatus {
    const KIND: &'static str = "UpgradeStatus";
}

/// What the API tells beside that.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Beside {
    pub plan: Option<api::UpgradePlan>,
    pub trial: api::UpgradeTrial,
    pub next_window_unix_ms: i64,
    pub rollout: String,
}

/// Publishes the status, in the store and to whoever waits. Clones share it.
#[derive(Clone)]
pub(super) struct Board {
    store: Store,
    state: Arc<Mutex<(UpgradeStatus, Beside)>>,
    sender: watch::Sender<api::UpgradeStatus>,
}

impl Board {
    /// Publishes that nothing runs.
    pub fn new(store: Store) -> Self {
        let board = Board {
            store,
            state: Arc::default(),
            sender: watch::Sender::default(),
        };
        board.update(|_, _| {});
        board
    }

    /// Changes the status and publishes it, if it is another one then.
    pub fn update(&self, change: impl FnOnce(&mut UpgradeStatus, &mut Beside)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (status, beside) = &mut *state;
        change(status, beside);
        let (shown, told) = (status.clone(), message(status, beside));
        // Still under the lock: what is published last is what is true.
        if let Err(conflict) = self.store.put(OWNER, ID, shown) {
            tracing::error!("{conflict}");
        }
        self.sender.send_if_modified(|last| {
            let news = *last != told;
            *last = told;
            news
        });
    }

    /// Returns the status.
    pub fn status(&self) -> UpgradeStatus {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .0
            .clone()
    }

    /// Returns the status as the API tells it, to wait for changes of.
    pub fn subscribe(&self) -> watch::Receiver<api::UpgradeStatus> {
        self.sender.subscribe()
    }
}

/// Puts the API's message together.
fn message(status: &UpgradeStatus, beside: &Beside) -> api::UpgradeStatus {
    api::UpgradeStatus {
        id: status.id.clone(),
        stage: stage(status.stage).into(),
        from_version: status.from_version.clone(),
        to_version: status.to_version.clone(),
        source: status.source.clone(),
        mode: match status.id.as_str() {
            "" => api::UpgradeMode::Unspecified,
            _ => mode(status.mode),
        }
        .into(),
        fetch_bytes: status.fetch_bytes,
        fetched_bytes: status.fetched_bytes,
        write_bytes: status.write_bytes,
        written_bytes: status.written_bytes,
        equal_bytes: status.equal_bytes,
        stage_bytes: status.stage_bytes,
        stage_total_bytes: status.stage_total_bytes,
        started_unix_ms: status.started_unix_ms,
        started_uptime_ms: status.started_uptime_ms,
        eta_ms: status.eta_ms,
        plan: beside.plan.clone(),
        reason: status.reason.clone(),
        message: status.message.clone(),
        trial: Some(beside.trial.clone()),
        next_window_unix_ms: beside.next_window_unix_ms,
        rollout: beside.rollout.clone(),
    }
}

/// Gives a stage as the API has it.
pub(super) fn stage(stage: Stage) -> api::UpgradeStage {
    match stage {
        Stage::Idle => api::UpgradeStage::Idle,
        Stage::Opening => api::UpgradeStage::Opening,
        Stage::Surveying => api::UpgradeStage::Surveying,
        Stage::Fetching => api::UpgradeStage::Fetching,
        Stage::Verifying => api::UpgradeStage::Verifying,
        Stage::Waiting => api::UpgradeStage::Waiting,
        Stage::Armed => api::UpgradeStage::Armed,
        Stage::Rebooting => api::UpgradeStage::Rebooting,
        Stage::Failed => api::UpgradeStage::Failed,
    }
}

/// Gives a mode as the API has it.
pub(super) fn mode(mode: Mode) -> api::UpgradeMode {
    match mode {
        Mode::Now => api::UpgradeMode::Now,
        Mode::Staged => api::UpgradeMode::Staged,
        Mode::Window => api::UpgradeMode::Window,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn store_and_waiters_see_the_same() {
        let store = Store::new();
        let board = Board::new(store.clone());
        let mut waiter = board.subscribe();
        assert_eq!(waiter.borrow_and_update().stage(), api::UpgradeStage::Idle);
        board.update(|status, beside| {
            (status.id, status.stage) = ("u1".into(), Stage::Fetching);
            beside.next_window_unix_ms = 5;
        });
        waiter.changed().await.unwrap();
        let told = waiter.borrow_and_update().clone();
        assert_eq!(
            (told.stage(), told.mode(), told.next_window_unix_ms),
            (api::UpgradeStage::Fetching, api::UpgradeMode::Now, 5)
        );
        assert_eq!(store.get::<UpgradeStatus>(ID), Some(board.status()));
        board.update(|status, _| status.stage = Stage::Fetching);
        assert!(!waiter.has_changed().unwrap(), "the same again is no news");
    }
}
