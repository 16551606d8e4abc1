//! Places behind the network that may have a config for the node.
//!
//! A node without a config, and without an owner, waits for one in maintenance mode. Meanwhile [`ask`] asks each [`Platform`] in turn, once the
//! network is up, in bounded time and with growing pauses. The first config that is valid takes effect, as if the API had applied
//! it; it is filed in STATE, so the platform is not asked again at the next start. A node that has a config, or had one, never asks.

mod url;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use state::Resource as _;
use state::Store;
use state::kinds::{ConfigStatus, NODE, NetworkStatus};

use super::ConfigHandle;

/// How long one platform may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// The pause after the first round without a config. It doubles up to [`LONGEST_PAUSE`].
const PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// The kernel argument that names a platform, or `none`.
const ARGUMENT: &str = "bedplate.config=";

/// A place behind the network.
#[async_trait]
pub trait Platform: Send + Sync {
    /// Returns what people call it, without what may be secret in it.
    fn name(&self) -> String;

    /// Asks it for the node's config. `None` means that it has none for this node. Dropped when it takes too long.
    ///
    /// # Errors
    ///
    /// One sentence that says what did not work, fit for the console.
    async fn config(&self, store: &Store) -> Result<Option<String>, String>;
}

/// Returns the platforms that a kernel's command line names; none if one of its words is `bedplate.config=none`.
pub fn named(cmdline: &str) -> Vec<Arc<dyn Platform>> {
    let words = cmdline.split_ascii_whitespace();
    let named: Vec<&str> = words.filter_map(|word| word.strip_prefix(ARGUMENT)).collect();
    if named.contains(&"none") {
        return Vec::new();
    }
    let platform = |address: &str| Arc::new(url::Url::new(address)) as Arc<dyn Platform>;
    named.into_iter().map(platform).collect()
}

/// Asks platforms whenever the node waits for a config. Never returns.
pub async fn ask(configs: ConfigHandle, platforms: Vec<Arc<dyn Platform>>, store: Store) {
    if platforms.is_empty() {
        return std::future::pending().await;
    }
    let mut pause = PAUSE;
    loop {
        until_asked_for(&store).await;
        let mut problems = Vec::new();
        for platform in &platforms {
            match one(&configs, platform.as_ref(), &store).await {
                Ok(true) => break,
                Ok(false) => problems.push(format!("{}: no config for this node", platform.name())),
                Err(problem) => problems.push(format!("{}: {problem}", platform.name())),
            }
        }
        match configs.report(problems).await {
            // It has a config now.
            false => pause = PAUSE,
            true => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// Asks one platform, and takes its config. Returns false if it has none.
async fn one(configs: &ConfigHandle, platform: &dyn Platform, store: &Store) -> Result<bool, String> {
    let asked = tokio::time::timeout(PATIENCE, platform.config(store)).await;
    let answer = asked.map_err(|_| format!("no answer in {} seconds", PATIENCE.as_secs()))??;
    match answer {
        None => Ok(false),
        Some(yaml) => configs.adopt(&yaml, &platform.name()).await.map(|()| true),
    }
}

/// Waits until the node is in maintenance mode, and the network is up.
async fn until_asked_for(store: &Store) {
    let mut watch = store.watch(&[ConfigStatus::KIND, NetworkStatus::KIND]);
    let asked_for = || {
        let config = store.get::<ConfigStatus>(NODE);
        let network = store.get::<NetworkStatus>(NODE);
        config.is_some_and(|status| status.awaits_config()) && network.is_some_and(|status| status.ready)
    };
    while !asked_for() {
        watch.changed().await;
    }
}

#[cfg(test)]
mod tests;
