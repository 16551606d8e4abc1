//! Runs all services: one task each, and a director that orders them.

use std::sync::Arc;
use std::time::Duration;

use node::Node;
use state::tasks;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::catalogue::Catalogue;
use super::dependencies::{Overview, Peer};
use super::director::Director;
use super::host::Host;
use super::shared::{Clock, OWNER, Shared};

/// The supervision of all services of a node, which runs for as long as this lives.
pub struct Supervisor {
    shared: Shared,
    closing: CancellationToken,
    _task: AbortOnDropHandle<()>,
}

impl Supervisor {
    /// Starts to run the services of a node. Must be called inside a tokio runtime, when all file systems are there.
    ///
    /// Of an image whose services are not valid none runs, which is reported: its API must come up to be helped.
    pub fn start(node: &Node, host: Arc<dyn Host>) -> Self {
        let image = Catalogue::of_image(&node.release.services).unwrap_or_else(|faults| {
            let faults = faults.to_string().replace('\n', "; ");
            node.events.error(
                OWNER,
                format!("the image's services are not valid, and none runs: {faults}"),
            );
            Catalogue::default()
        });
        let shared = Shared {
            image: Arc::new(image),
            host,
            store: node.store.clone(),
            events: node.events.clone(),
            overview: watch::channel(Overview::default()).0,
            clock: Clock::start(),
        };
        let closing = CancellationToken::new();
        let (all, node, close) = (shared.clone(), node.clone(), closing.clone());
        let task = tasks::keep("the supervision of services", move || {
            let director = Director::new(
                all.clone(),
                node.services.clone(),
                node.logs.clone(),
                close.clone(),
            );
            async move {
                director.run().await;
                Ok::<(), String>(())
            }
        });
        Supervisor {
            shared,
            closing,
            _task: task,
        }
    }

    /// Stops all services, those that depend on others first, and keeps them stopped. Returns those that were still
    /// there when the time was over; they have been killed, and nobody waited for their end.
    pub async fn stop_all(&self, limit: Duration) -> Vec<String> {
        self.closing.cancel();
        let mut overview = self.shared.overview.subscribe();
        let is_down = |peer: &Peer| !peer.up && !peer.should_run;
        let all_down = overview.wait_for(|overview| overview.peers.values().all(is_down));
        if timeout(limit, all_down).await.is_ok() {
            return Vec::new();
        }
        let overview = self.shared.overview.borrow().clone();
        let is_up = |name: &String| overview.peers.get(name).is_some_and(|peer| peer.up);
        let late = overview.catalogue.entries.iter().filter(|(name, _)| is_up(name));
        late.map(|(name, entry)| {
            self.shared.kill(&self.shared.running(entry));
            name.clone()
        })
        .collect()
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod real;
#[cfg(test)]
mod specs;
#[cfg(test)]
mod tests;
