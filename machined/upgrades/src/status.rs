//! The status of an upgrade: as a resource, and in the API.

use std::sync::{Arc, Mutex, PoisonError};

use api::v1alpha1 as api;
use state::Store;
use state::kinds::upgrade::Stage;
use state::kinds::{NODE, UpgradeStatus};
use tokio::sync::watch;

/// The owner of [`UpgradeStatus`].
pub(super) const OWNER: &str = "upgrades";

/// What the API tells extra that.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct ExtraStatus {
    pub plan: Option<api::UpgradePlan>,
    pub trial: api::UpgradeTrial,
    pub next_window_unix_ms: i64,
    pub rollout: String,
}

/// Publishes the status, in the store and to subscribers. Clones share it.
#[derive(Clone)]
pub(super) struct StatusPublisher {
    store: Store,
    state: Arc<Mutex<(UpgradeStatus, ExtraStatus)>>,
    sender: watch::Sender<api::UpgradeStatus>,
}

impl StatusPublisher {
    /// Publishes that no upgrade is running.
    pub fn new(store: Store) -> Self {
        let published = StatusPublisher {
            store,
            state: Arc::default(),
            sender: watch::Sender::default(),
        };
        published.update(|_, _| {});
        published
    }

    /// Changes the status and publishes it, if it differs.
    pub fn update(&self, change: impl FnOnce(&mut UpgradeStatus, &mut ExtraStatus)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (status, extra) = &mut *state;
        change(status, extra);
        let (shown, told) = (status.clone(), message(status, extra));
        // Still under the lock: the last published status is the current one.
        if let Err(conflict) = self.store.put(OWNER, NODE, shown) {
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

    /// Returns a receiver of the API's status.
    pub fn subscribe(&self) -> watch::Receiver<api::UpgradeStatus> {
        self.sender.subscribe()
    }
}

/// Makes the API's message.
fn message(status: &UpgradeStatus, extra: &ExtraStatus) -> api::UpgradeStatus {
    api::UpgradeStatus {
        id: status.id.clone(),
        stage: stage(status.stage).into(),
        from_version: status.from_version.clone(),
        to_version: status.to_version.clone(),
        source: status.source.clone(),
        mode: match status.id.as_str() {
            "" => api::UpgradeMode::Unspecified,
            _ => backend::mode(status.mode),
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
        plan: extra.plan.clone(),
        reason: status.reason.clone(),
        message: status.message.clone(),
        trial: Some(extra.trial.clone()),
        next_window_unix_ms: extra.next_window_unix_ms,
        rollout: extra.rollout.clone(),
    }
}

/// Returns a stage in the API's form.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn store_and_subscribers_see_the_same() {
        let store = Store::new();
        let published = StatusPublisher::new(store.clone());
        let mut waiter = published.subscribe();
        assert_eq!(waiter.borrow_and_update().stage(), api::UpgradeStage::Idle);
        published.update(|status, extra| {
            (status.id, status.stage) = ("u1".into(), Stage::Fetching);
            extra.next_window_unix_ms = 5;
        });
        waiter.changed().await.unwrap();
        let told = waiter.borrow_and_update().clone();
        assert_eq!(
            (told.stage(), told.mode(), told.next_window_unix_ms),
            (api::UpgradeStage::Fetching, api::UpgradeMode::Now, 5)
        );
        assert_eq!(store.get::<UpgradeStatus>(NODE), Some(published.status()));
        published.update(|status, _| status.stage = Stage::Fetching);
        assert!(!waiter.has_changed().unwrap(), "an equal status is not published");
    }
}
