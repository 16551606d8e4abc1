//! Decides which services there are and what is wanted of each, and gives each a task.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use machine_config::MachineConfig;
use node::logs::Logs;
use node::requests::Requests;
use state::kinds::{NODE, ServiceSpec, ServiceStatus};
use state::{Resource, chain};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::catalogue::{Catalogue, Entry};
use super::describe::describe_refused;
use super::order::{Order, order, unknown};
use super::shared::{OWNER, Shared};
use super::task::{keep, until};

/// How long a service that the machine config names may be unknown before that is reported: controllers add theirs while
/// the node starts.
const GRACE: Duration = Duration::from_secs(60);

/// The director of all services.
pub(super) struct Director {
    shared: Shared,
    requests: Requests,
    logs: Logs,
    closing: CancellationToken,
    /// The specs that the catalogue was made from; none before the first look.
    specs: Option<Vec<(String, ServiceSpec)>>,
    /// What can run, and what is wrong with the specs that cannot.
    catalogue: Catalogue,
    /// Services that nobody defines any longer, until they are stopped and forgotten.
    leaving: BTreeMap<String, Arc<Entry>>,
    /// The order of each service that has a task.
    orders: BTreeMap<String, watch::Sender<Order>>,
    tasks: JoinSet<String>,
    unknown: Unknown,
}

/// Services that the machine config names and the node does not have.
#[derive(Default)]
struct Unknown {
    names: Vec<String>,
    /// When they are to be reported; none once they have been.
    due: Option<Duration>,
}

impl Director {
    /// Makes a director. What one before it knew, which panicked, is in the overview.
    pub(super) fn new(shared: Shared, requests: Requests, logs: Logs, closing: CancellationToken) -> Self {
        let before = shared.overview.borrow().catalogue.clone();
        Director {
            catalogue: before,
            leaving: BTreeMap::new(),
            shared,
            requests,
            logs,
            closing,
            specs: None,
            orders: BTreeMap::new(),
            tasks: JoinSet::new(),
            unknown: Unknown::default(),
        }
    }

    /// Directs the services for as long as the future lives.
    pub(super) async fn run(mut self) {
        let mut watch = self.shared.store.watch(&[MachineConfig::KIND, ServiceSpec::KIND]);
        let bell = self.requests.bell();
        let closing = self.closing.clone();
        loop {
            let closing_known = self.direct();
            let due = self.unknown.due.map(|due| self.shared.clock.instant(due));
            tokio::select! {
                // Cancel safe, see `Watch::changed`.
                () = watch.changed() => {}
                // Cancel safe: `notify_one` keeps its permit for the next waiter.
                () = bell.notified() => {}
                // Cancel safe: a task that is not taken here is taken the next time.
                Some(ended) = self.tasks.join_next() => match ended {
                    Ok(name) => self.forget(&name),
                    Err(error) => tracing::error!("the task of a service ended: {error}"),
                },
                // Cancel safe: dropping a sleep has no effect.
                () = until(due) => self.report_unknown(),
                // Cancel safe: asks only for a state. Once all services know it, it is of no more interest.
                () = closing.cancelled(), if !closing_known => {}
            }
        }
    }

    /// Makes the catalogue follow from the specs, tells each service what is wanted of it, and returns whether that was
    /// to stop for good.
    fn direct(&mut self) -> bool {
        self.take_specs();
        let config: Option<MachineConfig> = self.shared.store.get(NODE);
        let closing = self.closing.is_cancelled();
        let orders = self.decide(config.as_ref(), closing);
        // First what all know, then the order of each: whoever is to stop knows who stops with it.
        self.shared.overview.send_if_modified(|overview| {
            let catalogue = self.catalogue.clone().with_leaving(&self.leaving);
            let wanted = orders
                .iter()
                .map(|(name, order)| (name.clone(), order.wanted))
                .collect();
            let wanted = std::mem::replace(&mut overview.wanted, wanted) != overview.wanted;
            let catalogue = std::mem::replace(&mut overview.catalogue, catalogue) != overview.catalogue;
            wanted || catalogue
        });
        for (name, new) in orders {
            match self.orders.get(&name) {
                Some(orders) => {
                    orders.send_if_modified(|old| std::mem::replace(old, new) != new);
                }
                None => self.start_task(name, new),
            }
        }
        self.show_refused(config.as_ref(), closing);
        self.find_unknown(config.as_ref());
        closing
    }

    fn take_specs(&mut self) {
        let specs = self.shared.store.list::<ServiceSpec>();
        if self.specs.as_ref() == Some(&specs) {
            return;
        }
        let catalogue = self.shared.image.with_specs(&specs, &self.catalogue);
        for (name, fault) in &catalogue.faults {
            if self.catalogue.faults.get(name) != Some(fault) {
                let text = format!("its spec is not valid, and is not used: {fault}");
                self.shared.events.error(name, text);
            }
        }
        for (name, entry) in std::mem::take(&mut self.catalogue.entries) {
            self.leaving.insert(name, entry);
        }
        self.leaving
            .retain(|name, _| !catalogue.entries.contains_key(name));
        let names: BTreeSet<&String> = catalogue.entries.keys().chain(catalogue.faults.keys()).collect();
        self.requests.set_services(names);
        // The log of each service is known before it says anything.
        for name in catalogue.entries.keys() {
            self.logs.ring(name);
        }
        (self.specs, self.catalogue) = (Some(specs), catalogue);
    }

    fn decide(&self, config: Option<&MachineConfig>, closing: bool) -> BTreeMap<String, Order> {
        let all = self.catalogue.entries.iter().map(|(name, entry)| {
            let request = self.requests.of(name);
            let order = order(name, entry.definition.enabled, config, request, closing);
            (name.clone(), order)
        });
        let leaving = self.leaving.keys().map(|name| {
            let request = self.requests.of(name);
            let order = order(name, false, None, request, true);
            (
                name.clone(),
                Order {
                    removed: true,
                    ..order
                },
            )
        });
        all.chain(leaving).collect()
    }

    fn start_task(&mut self, name: String, first: Order) {
        let entry = self
            .catalogue
            .entries
            .get(&name)
            .or_else(|| self.leaving.get(&name));
        let Some(entry) = entry else { return };
        let (orders, receiver) = watch::channel(first);
        self.tasks
            .spawn(keep(self.shared.clone(), entry.clone(), receiver));
        self.orders.insert(name, orders);
    }

    /// Forgets a service whose task has ended because nobody defines it any longer. If somebody does again by now, it gets
    /// another task.
    fn forget(&mut self, name: &str) {
        self.orders.remove(name);
        let Some(entry) = self.leaving.remove(name) else {
            return;
        };
        if let Err(error) = self.shared.host.forget(&entry.definition) {
            self.shared.events.error(name, chain(&error));
        }
        if let Err(conflict) = self.shared.store.remove::<ServiceStatus>(OWNER, name) {
            tracing::error!("{conflict}");
        }
        self.shared.overview.send_modify(|overview| {
            overview.peers.remove(name);
        });
        self.requests.forget(name);
        self.shared
            .events
            .info(name, "is no longer defined; it is stopped and forgotten");
    }

    /// Forgets what people asked of a service, and what they are shown of it.
    fn forget_by_name(&self, name: &str) {
        if let Err(conflict) = self.shared.store.remove::<ServiceStatus>(OWNER, name) {
            tracing::error!("{conflict}");
        }
        self.requests.forget(name);
    }

    /// Shows services that cannot run because their only spec is not valid.
    fn show_refused(&self, config: Option<&MachineConfig>, closing: bool) {
        let has_task = |name: &String| self.orders.contains_key(name);
        for (name, fault) in self.catalogue.faults.iter().filter(|(name, _)| !has_task(name)) {
            let spec = self.specs.iter().flatten().find(|(id, _)| id == name);
            let enabled = spec.is_some_and(|(_, spec)| spec.service.enabled);
            let wanted = order(name, enabled, config, self.requests.of(name), closing).wanted;
            let known: Option<ServiceStatus> = self.shared.store.get(name);
            let now = self.shared.clock.uptime_ms();
            let since = known.as_ref().map_or(now, |status| status.since_ms);
            let status = describe_refused(fault, wanted, since);
            let same = known.is_some_and(|known| known.state == status.state && known.wanted == wanted);
            let since_ms = if same { since } else { now };
            self.shared
                .publish_status(name, ServiceStatus { since_ms, ..status });
        }
        for (name, _) in self.shared.store.list::<ServiceStatus>() {
            if !has_task(&name) && !self.catalogue.faults.contains_key(&name) {
                self.forget_by_name(&name);
            }
        }
    }

    fn find_unknown(&mut self, config: Option<&MachineConfig>) {
        let known = |name: &str| {
            self.catalogue.entries.contains_key(name) || self.catalogue.faults.contains_key(name)
        };
        let names = config.map(|config| unknown(config, known)).unwrap_or_default();
        if names != self.unknown.names {
            let due = (!names.is_empty()).then(|| self.shared.clock.now() + GRACE);
            self.unknown = Unknown { names, due };
        }
    }

    fn report_unknown(&mut self) {
        self.unknown.due = None;
        let known: Vec<&str> = self.catalogue.entries.keys().map(String::as_str).collect();
        let known = known.join(", ");
        for name in &self.unknown.names {
            let text = format!("machine.services: this node has no service {name:?}; known: {known}");
            self.shared.events.warning(OWNER, text);
        }
    }
}
