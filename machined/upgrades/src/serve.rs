//! The API's backend for upgrades.

use api::v1alpha1::{UpgradeRecord, UpgradeStatus};
use async_trait::async_trait;
use backend::{BackendError, PushedBundle, StartUpgrade, Upgrades};
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
            start,
            pushed,
            pin: None,
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
