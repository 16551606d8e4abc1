//! Runs all services: one task each, and a director that orders them.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use node::Node;
use node::events::Events;
use node::logs::uptime_ms;
use state::kinds::ServiceStatus;
use state::{Store, chain, panic_message, tasks};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::catalogue::{Catalogue, Entry};
use super::dependencies::{Overview, Peer};
use super::director::Director;
use super::host::Host;
use super::order::Order;
use super::task::Task;

/// The owner of [`ServiceStatus`], and the source of events about services as a whole.
pub(super) const OWNER: &str = "services";
/// How long a service whose task panicked is left alone before it gets another.
const AFTER_PANIC: Duration = Duration::from_secs(1);

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
    fn kill(&self, service: &Entry) {
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
    async fn clear(&self, service: &Entry) {
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
    fn running(&self, entry: &Arc<Entry>) -> Arc<Entry> {
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
    fn start() -> Self {
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

/// Keeps a task for a service until it is stopped and forgotten; returns its name. A panic is an error of ours: what it
/// left behind is killed, and a new task takes over.
pub(super) async fn keep(shared: Shared, entry: Arc<Entry>, orders: watch::Receiver<Order>) -> String {
    let name = entry.definition.name.clone();
    // From before the director of all services had to start again.
    shared.clear(&shared.running(&entry)).await;
    let mut entry = entry;
    loop {
        let mut orders = orders.clone();
        orders.mark_changed();
        let task = Task::new(shared.clone(), entry.clone(), orders);
        let Err(panic) = AssertUnwindSafe(task.run()).catch_unwind().await else {
            return name;
        };
        let text = panic_message(panic.as_ref());
        shared.events.error(
            &name,
            format!("its supervision panicked, and is started again: {text}"),
        );
        shared.clear(&shared.running(&entry)).await;
        sleep(AFTER_PANIC).await;
        let newest = shared.overview.borrow().catalogue.entries.get(&name).cloned();
        entry = newest.unwrap_or(entry);
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
