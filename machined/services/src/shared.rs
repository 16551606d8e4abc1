//! What the tasks of services share.

use std::sync::Arc;
use std::time::Duration;

use node::events::Events;
use node::logs::uptime_ms;
use state::kinds::ServiceStatus;
use state::{Store, chain};
use tokio::sync::watch;
use tokio::time::Instant;

use super::catalogue::{Catalogue, Entry};
use super::dependencies::{Overview, Peer};
use super::host::Host;

/// The owner of [`ServiceStatus`], and the source of events about services as a whole.
pub(super) const OWNER: &str = "services";
/// What the tasks of services share.
#[derive(Clone)]
pub(super) struct Shared {
    /// The services of the image.
    pub image: Arc<Catalogue>,
    pub host: Arc<dyn Host>,
    pub store: Store,
    pub events: Events,
    pub overview: watch::Sender<Overview>,
    pub clock: Clock,
}

impl Shared {
    /// Publishes what a service does: to people, and to the other services.
    pub(super) fn publish(&self, name: &str, peer: Peer, status: ServiceStatus) {
        self.publish_status(name, status);
        self.overview
            .send_if_modified(|overview| match overview.peers.get(name) {
                Some(known) if *known == peer => false,
                _ => {
                    overview.peers.insert(name.to_owned(), peer);
                    true
                }
            });
    }

    /// Publishes what a service does to people alone.
    pub(super) fn publish_status(&self, name: &str, status: ServiceStatus) {
        if let Err(conflict) = self.store.put(OWNER, name, status) {
            tracing::error!("{conflict}");
        }
    }

    /// Kills the process that a service has according to its status.
    pub(super) fn kill(&self, service: &Entry) {
        let name = &service.definition.name;
        let status: Option<ServiceStatus> = self.store.get(name);
        let Some(pid) = status.and_then(|status| status.pid) else {
            return;
        };
        if let Err(error) = self.host.kill(&service.definition, pid) {
            self.events.error(name, chain(&error));
        }
    }

    /// Ends what a task has left behind that is no more: nobody would hear of its end.
    pub(super) async fn clear(&self, service: &Entry) {
        let name = &service.definition.name;
        let status: Option<ServiceStatus> = self.store.get(name);
        if status.and_then(|status| status.pid).is_none() {
            return;
        }
        self.kill(service);
        if let Err(error) = self.host.sweep(&service.definition).await {
            self.events.error(name, chain(&error));
        }
    }

    /// Returns what a service was started from if it runs, or the service as it is wanted now.
    pub(super) fn running(&self, entry: &Arc<Entry>) -> Arc<Entry> {
        let overview = self.overview.borrow();
        let peer = overview.peers.get(&entry.definition.name);
        let started = peer.and_then(|peer| peer.started.clone());
        started.unwrap_or_else(|| entry.clone())
    }
}

/// The time since the start of the supervisor, by the clock that tokio's timers run on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    start: Instant,
    start_uptime_ms: u64,
}

impl Clock {
    pub(super) fn start() -> Self {
        Clock {
            start: Instant::now(),
            start_uptime_ms: uptime_ms(),
        }
    }

    /// Returns the time since the start.
    pub(super) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Returns the moment so long after the start.
    pub(super) fn instant(&self, since_start: Duration) -> Instant {
        self.start + since_start
    }

    /// Returns the milliseconds since the kernel started.
    pub(super) fn uptime_ms(&self) -> u64 {
        let since = u64::try_from(self.now().as_millis()).unwrap_or(u64::MAX);
        self.start_uptime_ms.saturating_add(since)
    }
}
