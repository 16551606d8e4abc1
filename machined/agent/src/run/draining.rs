//! Draining the node before it restarts into another system.

use async_trait::async_trait;
use kubernetes_node::Drain;
use upgrades::hooks::BeforeReboot;

/// The hook of upgrades that drains the node.
pub(super) struct DrainBeforeReboot(pub Drain);

#[async_trait]
impl BeforeReboot for DrainBeforeReboot {
    fn name(&self) -> &'static str {
        Drain::NAME
    }

    async fn prepare(&self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.0.prepare().await?)
    }
}
