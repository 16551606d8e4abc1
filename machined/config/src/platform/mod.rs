//! Places outside the node's own disk that may have a config for it.
//!
//! A node without a config, and without an owner, waits for one in maintenance mode. Meanwhile [`ask`] asks each [`Platform`] in turn, in
//! bounded time and with growing pauses: volumes at once, services as soon as the network is up. The first config that is valid
//! takes effect, as if the API had applied it; it is filed in STATE, so the platform is not asked again at the next start. A node
//! that has a config, or had one, never asks.
//!
//! [`find`] decides which platforms there are: what the kernel's command line names, and otherwise what the firmware and labels of
//! volumes tell.

mod ec2;
mod find;
mod machine;
mod nocloud;
mod offer;
mod openstack;
mod url;
mod volume;
mod web;

use std::time::Duration;

use async_trait::async_trait;
use cloud::network_data::NetworkData;
use state::Resource as _;
use state::Store;
use state::kinds::{ConfigStatus, NODE, NetworkStatus};
use std::sync::Arc;
use zeroize::Zeroizing;

pub use self::find::{Surroundings, find};
pub(crate) use self::offer::network;
use super::ConfigHandle;

/// How long one platform may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// The pause after the first round without a config. It doubles up to [`LONGEST_PAUSE`].
const PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A place that may have a config.
#[async_trait]
pub trait Platform: Send + Sync {
    /// Returns what people call it, without what may be secret in it.
    fn name(&self) -> String;

    /// Returns whether it is reached by the network.
    fn by_network(&self) -> bool {
        true
    }

    /// Asks it for the node's config. Dropped when it takes too long.
    ///
    /// # Errors
    ///
    /// One sentence that says what did not work, fit for the console.
    async fn config(&self, store: &Store) -> Result<Answer, String>;
}

/// What a platform answers.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// It is not there now: nothing to report.
    Absent,
    /// It is there, and has no config for this node.
    Nothing,
    /// A document that should be a config.
    Offer(Offer),
}

/// A document that should be a config, and what comes with it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Offer {
    /// The document.
    pub yaml: Zeroizing<String>,
    /// The host name, for a config that has none.
    pub host_name: Option<String>,
    /// The network, for a config that has none.
    pub network: Option<NetworkData>,
    /// What is ignored, one sentence each.
    pub notes: Vec<String>,
}

/// Asks platforms whenever the node waits for a config. Never returns.
pub async fn ask(configs: ConfigHandle, platforms: Vec<Arc<dyn Platform>>, store: Store) {
    if platforms.is_empty() {
        return std::future::pending().await;
    }
    let mut pause = PAUSE;
    loop {
        until(&store, awaits_config).await;
        let connected = network_is_up(&store);
        let problems = round(&configs, &platforms, connected, &store).await;
        match configs.report(problems).await {
            // It has a config now.
            false => pause = PAUSE,
            true => tokio::select! {
                // Cancel safe, as is the other.
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
                () = until(&store, network_is_up), if !connected => pause = PAUSE,
            },
        }
    }
}

/// Asks each platform that can be reached, until one has a config that is taken. Returns what was wrong with the others.
async fn round(
    configs: &ConfigHandle,
    platforms: &[Arc<dyn Platform>],
    connected: bool,
    store: &Store,
) -> Vec<String> {
    let mut problems = Vec::new();
    for platform in platforms
        .iter()
        .filter(|platform| connected || !platform.by_network())
    {
        match one(configs, platform.as_ref(), store).await {
            Ok(Outcome::Taken) => break,
            Ok(Outcome::Absent) => {}
            Ok(Outcome::Nothing) => problems.push(format!("{}: no config for this node", platform.name())),
            Err(problem) => problems.push(format!("{}: {problem}", platform.name())),
        }
    }
    problems
}

/// What came of asking one platform.
enum Outcome {
    Taken,
    Absent,
    Nothing,
}

/// Asks one platform, and takes its config.
async fn one(configs: &ConfigHandle, platform: &dyn Platform, store: &Store) -> Result<Outcome, String> {
    let asked = tokio::time::timeout(PATIENCE, platform.config(store)).await;
    let answer = asked.map_err(|_| format!("no answer in {} seconds", PATIENCE.as_secs()))??;
    match answer {
        Answer::Absent => Ok(Outcome::Absent),
        Answer::Nothing => Ok(Outcome::Nothing),
        Answer::Offer(offer) => {
            let taken = configs.adopt(offer, &platform.name()).await;
            taken.map(|()| Outcome::Taken)
        }
    }
}

fn awaits_config(store: &Store) -> bool {
    let config = store.get::<ConfigStatus>(NODE);
    config.is_some_and(|status| status.awaits_config())
}

fn network_is_up(store: &Store) -> bool {
    let network = store.get::<NetworkStatus>(NODE);
    network.is_some_and(|status| status.ready)
}

/// Waits until something holds.
async fn until(store: &Store, holds: fn(&Store) -> bool) {
    let mut watch = store.watch(&[ConfigStatus::KIND, NetworkStatus::KIND]);
    while !holds(store) {
        watch.changed().await;
    }
}

#[cfg(test)]
mod service_tests;
#[cfg(test)]
mod tests;
