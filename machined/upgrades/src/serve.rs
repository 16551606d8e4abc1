//! The API's backend for upgrades.

use api::v1alpha1::{UpgradeMode, UpgradeRecord, UpgradeStatus};
use async_trait::async_trait;
use backend::{BackendError, PushedBundle, StartUpgrade, UpgradeSource, Upgrades};
use state::kinds::upgrade::Mode;
use tokio::sync::watch;

use super::handle::{Request, UpgradeHandle};
use super::show;

#[async_trait]
impl Upgrades for UpgradeHandle {
    async fn start(
        &self,
        start: StartUpgrade,
        pushed: Option<Box<dyn PushedBundle>>,
    ) -> Result<String, BackendError> {
        let request = Request {
            url: match start.source {
                UpgradeSource::Url(url) => Some(url),
                UpgradeSource::Pushed { .. } => None,
            },
            pushed,
            mode: match start.mode {
                UpgradeMode::Unspecified | UpgradeMode::Now => Mode::Now,
                UpgradeMode::Staged => Mode::Staged,
                UpgradeMode::Window => Mode::Window,
            },
            plan_only: start.plan_only,
            force: start.force,
            rate_limit: start.rate_limit,
            pin: None,
            who: start.who,
            resumed: None,
        };
        self.begin(request).await
    }

    fn status(&self) -> watch::Receiver<UpgradeStatus> {
        self.shared.published.subscribe()
    }

    async fn history(&self) -> Result<Vec<UpgradeRecord>, BackendError> {
        Ok(self
            .shared
            .history
            .entries()
            .into_iter()
            .map(show::record)
            .collect())
    }

    async fn cancel(&self) -> Result<String, BackendError> {
        self.cancel_open().await
    }

    async fn rollback(&self) -> Result<String, BackendError> {
        self.roll_back().await
    }
}
