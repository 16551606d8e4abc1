//! The interface of the part that runs workloads and keeps their images.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use api::v1alpha1::{ImageInfo, PullProgress, WorkloadInfo};
use async_trait::async_trait;
use tokio::task::JoinHandle;

use super::{BackendError, PushedBundle};

/// The workloads of the node.
#[async_trait]
pub trait Workloads: Send + Sync {
    /// Lists all, by name.
    fn list(&self) -> Vec<WorkloadInfo>;
    /// Starts one that is stopped; one that runs already is left alone. Returns when it is on its way.
    async fn start(&self, name: &str) -> Result<(), BackendError>;
    /// Stops one, and keeps it stopped. Returns when it has ended.
    async fn stop(&self, name: &str) -> Result<(), BackendError>;
    /// Stops one and starts it again.
    async fn restart(&self, name: &str) -> Result<(), BackendError>;
}

/// The images of workloads.
#[async_trait]
pub trait Images: Send + Sync {
    /// Lists all, by name.
    async fn list(&self) -> Result<Vec<ImageInfo>, BackendError>;
    /// Begins to pull an image.
    async fn pull(&self, reference: &str) -> Result<Pull, BackendError>;
    /// Removes one that no workload needs.
    async fn remove(&self, name: &str) -> Result<(), BackendError>;
    /// Takes all images of an archive; a name is for the only one in it. To be run to its end: whoever stops waiting leaves a half-written file behind, which the
    /// next import replaces.
    async fn import(
        &self,
        archive: Box<dyn PushedBundle>,
        name: Option<String>,
    ) -> Result<Vec<ImageInfo>, BackendError>;
}

/// A pull that is on its way. It goes on when nobody waits for it any more.
pub struct Pull {
    /// How far it is.
    pub count: PullCount,
    /// Its end.
    pub done: JoinHandle<Result<ImageInfo, BackendError>>,
}

/// How many bytes of an image have arrived. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct PullCount {
    counts: Arc<[AtomicU64; 2]>,
}

impl PullCount {
    /// Adds bytes that will be pulled.
    pub fn expect(&self, bytes: u64) {
        self.counts[1].fetch_add(bytes, Ordering::Relaxed);
    }

    /// Adds bytes that have arrived.
    pub fn arrived(&self, bytes: u64) {
        self.counts[0].fetch_add(bytes, Ordering::Relaxed);
    }

    /// Returns both sums.
    pub fn progress(&self) -> PullProgress {
        PullProgress {
            pulled_bytes: self.counts[0].load(Ordering::Relaxed),
            total_bytes: self.counts[1].load(Ordering::Relaxed),
        }
    }
}
