//! Runs all services: one task each, and one that tells them what is wanted.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use machine_config::MachineConfig;
use node::Node;
use node::events::Events;
use node::logs::{Logs, uptime_ms};
use node::requests::Requests;
use service_definition::{Definition, Definitions};
use state::kinds::{NODE, ServiceStatus};
use state::{Resource, Store, chain, panic_message, tasks};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::around::{Neighbours, Peer};
use super::host::Host;
use super::machine::Machine;
use super::order::{Order, order, unknown};
use super::task::Task;

/// The owner of [`ServiceStatus`], and the source of events about services as a whole.
const OWNER: &str = "services";
/// How long a service whose task panicked rests before it gets another.
const AFTER_PANIC: Duration = Duration::from_secs(1);

/// What the tasks of services share.
#[derive(Clone)]
pub(super) struct Shared {
    pub definitions: Arc<Definitions>,
    pub host: Arc<dyn Host>,
    pub store: Store,
    pub events: Events,
    pub neighbours: watch::Sender<Neighbours>,
    pub clock: Clock,
}

impl Shared {
    /// Makes known what a service does: to people, and to the other services.
    pub(super) fn publish(&self, name: &str, machine: &Machine, status: ServiceStatus) {
        if let Err(conflict) = self.store.put(OWNER, name, status) {
            tracing::error!("{conflict}");
        }
        let peer = Peer::of(machine);
        self.neighbours
            .send_if_modified(|neighbours| match neighbours.peers.get(name) {
                Some(known) if *known == peer => false,
                _ => {
                    neighbours.peers.insert(name.to_owned(), peer);
                    true
                }
            });
    }
}

/// Measures time from the start of the supervisor, by the clock that tokio's timers run on.
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

/// Runs the services of a node for as long as it lives.
pub struct Supervisor {
    shared: Shared,
    closing: CancellationToken,
    _task: AbortOnDropHandle<()>,
}

impl Supervisor {
    /// Starts to run the services of a node. Must be called inside a tokio runtime, when all file systems are there.
    ///
    /// An image whose services are not valid runs none, and says so: its API must come up to be helped.
    pub fn start(node: &Node, host: Arc<dyn Host>) -> Self {
        let definitions = service_definition::check(node.release.services.clone()).unwrap_or_else(|faults| {
            let faults = faults.to_string().replace('\n', "; ");
            node.events.error(
                OWNER,
                format!("the image's services are not valid, and none runs: {faults}"),
            );
            Definitions::default()
        });
        let shared = Shared {
            definitions: Arc::new(definitions),
            host,
            store: node.store.clone(),
            events: node.events.clone(),
            neighbours: watch::channel(Neighbours::default()).0,
            clock: Clock::start(),
        };
        name_sources(&shared.definitions, &node.logs);
        let closing = CancellationToken::new();
        let (all, requests, close) = (shared.clone(), node.services.clone(), closing.clone());
        let task = tasks::keep("the supervision of services", move || {
            let (shared, requests, closing) = (all.clone(), requests.clone(), close.clone());
            async move {
                direct(shared, requests, closing).await;
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
        let mut neighbours = self.shared.neighbours.subscribe();
        let is_down = |peer: &Peer| !peer.up && !peer.should_run;
        let all_down = neighbours.wait_for(|neighbours| neighbours.peers.values().all(is_down));
        if timeout(limit, all_down).await.is_ok() {
            return Vec::new();
        }
        let late: Vec<&Definition> = self
            .shared
            .definitions
            .iter()
            .filter(|one| self.is_up(one))
            .collect();
        for service in &late {
            kill(&self.shared, service);
        }
        late.iter().map(|service| service.name.clone()).collect()
    }

    fn is_up(&self, service: &Definition) -> bool {
        let neighbours = self.shared.neighbours.borrow();
        neighbours.peers.get(&service.name).is_some_and(|peer| peer.up)
    }
}

/// Makes the log of each service known before it says anything.
fn name_sources(definitions: &Definitions, logs: &Logs) {
    for service in definitions.iter() {
        logs.ring(&service.name);
    }
}

fn kill(shared: &Shared, service: &Definition) {
    let status: Option<ServiceStatus> = shared.store.get(&service.name);
    let Some(pid) = status.and_then(|status| status.pid) else {
        return;
    };
    if let Err(error) = shared.host.kill(service, pid) {
        shared.events.error(&service.name, chain(&error));
    }
}

/// Gives each service its task, and tells them what is wanted for as long as the future lives.
async fn direct(shared: Shared, requests: Requests, closing: CancellationToken) {
    let mut watch = shared.store.watch(&[MachineConfig::KIND]);
    let bell = requests.bell();
    let mut director = Director {
        requests,
        closing: closing.clone(),
        orders: BTreeMap::new(),
        unknown: Vec::new(),
    };
    for service in shared.definitions.iter() {
        director
            .orders
            .insert(service.name.clone(), watch::Sender::new(Order::default()));
    }
    director.tell(&shared);
    let mut tasks = JoinSet::new();
    for service in shared.definitions.iter() {
        if let Some(orders) = director.orders.get(&service.name) {
            tasks.spawn(keep(shared.clone(), service.clone(), orders.subscribe()));
        }
    }
    loop {
        let told_to_close = director.tell(&shared);
        tokio::select! {
            // Cancel safe, see `Watch::changed`.
            () = watch.changed() => {}
            // Cancel safe: `notify_one` keeps its permit for the next waiter.
            () = bell.notified() => {}
            // Cancel safe: asks only for a state. Once it has been told it is of no more interest.
            () = closing.cancelled(), if !told_to_close => {}
        }
    }
}

/// Ends what a supervision before this one has left: nobody would hear of its end.
async fn clear(shared: &Shared, service: &Definition) {
    let status: Option<ServiceStatus> = shared.store.get(&service.name);
    if status.and_then(|status| status.pid).is_none() {
        return;
    }
    kill(shared, service);
    if let Err(error) = shared.host.sweep(service).await {
        shared.events.error(&service.name, chain(&error));
    }
}

struct Director {
    requests: Requests,
    closing: CancellationToken,
    orders: BTreeMap<String, watch::Sender<Order>>,
    unknown: Vec<String>,
}

impl Director {
    /// Tells each service what is wanted of it, and returns whether that was to end for good.
    fn tell(&mut self, shared: &Shared) -> bool {
        let config: Option<MachineConfig> = shared.store.get(NODE);
        let closing = self.closing.is_cancelled();
        let decide = |service: &Definition| {
            let wish = self.requests.wish(&service.name);
            let order = order(service, config.as_ref(), wish, closing);
            (service.name.clone(), order)
        };
        let orders: BTreeMap<String, Order> = shared.definitions.iter().map(decide).collect();
        // First what all know, then what each is told: whoever is told to end knows who ends with it.
        shared.neighbours.send_if_modified(|neighbours| {
            let wanted = orders
                .iter()
                .map(|(name, order)| (name.clone(), order.wanted))
                .collect();
            std::mem::replace(&mut neighbours.wanted, wanted) != neighbours.wanted
        });
        for (name, new) in orders {
            if let Some(orders) = self.orders.get(&name) {
                orders.send_if_modified(|old| std::mem::replace(old, new) != new);
            }
        }
        let unknown: Vec<String> = config
            .iter()
            .flat_map(|config| unknown(config, |name| shared.definitions.get(name).is_some()))
            .map(str::to_owned)
            .collect();
        if unknown != self.unknown {
            for name in &unknown {
                let known: Vec<&str> = shared.definitions.iter().map(|one| one.name.as_str()).collect();
                let known = known.join(", ");
                let text = format!("machine.services: {name:?} is not in this image; known: {known}");
                shared.events.warning(OWNER, text);
            }
            self.unknown = unknown;
        }
        closing
    }
}

/// Keeps a task for a service. A panic is an error of ours: what it left behind is killed, and it begins anew.
async fn keep(shared: Shared, service: Definition, orders: watch::Receiver<Order>) {
    // From before the director of all services had to begin anew.
    clear(&shared, &service).await;
    loop {
        let mut orders = orders.clone();
        orders.mark_changed();
        let task = Task::new(shared.clone(), service.clone(), orders);
        let Err(panic) = AssertUnwindSafe(task.run()).catch_unwind().await else {
            return;
        };
        let text = panic_message(panic.as_ref());
        shared.events.error(
            &service.name,
            format!("its supervision panicked, and begins anew: {text}"),
        );
        kill(&shared, &service);
        if let Err(error) = shared.host.sweep(&service).await {
            shared.events.error(&service.name, chain(&error));
        }
        sleep(AFTER_PANIC).await;
    }
}

#[cfg(test)]
mod real;
#[cfg(test)]
mod tests;
