//! Drives one service: takes what happens to it to its state machine, and does what that says.

use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use quantity::human_time;
use service_definition::{Definition, Health as Check};
use state::{chain, panic_message};
use sys::process::Exit;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::catalogue::Entry;
use super::dependencies::{Peer, dependencies};
use super::describe::{Measured, describe, state_of};
use super::first_checks;
use super::machine::{Effect, Event, Health, Machine, Policy, State};
use super::order::Order;
use super::shared::Shared;
use crate::writes::Writes;

/// How long a service whose task panicked is left alone before it gets another.
const AFTER_PANIC: Duration = Duration::from_secs(1);

/// How often to read how much memory it uses.
const MEASURE: Duration = Duration::from_secs(30);

type Checked = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// One service that is supervised.
pub struct Task {
    shared: Shared,
    /// The service as it is wanted now.
    entry: Arc<Entry>,
    /// What the last process was started from, until a later change has been dealt with.
    started: Option<Arc<Entry>>,
    /// What is wrong with a spec that is newer than the entry.
    fault: Option<String>,
    orders: watch::Receiver<Order>,
    done: Order,
    machine: Machine,
    exit: Option<(u32, oneshot::Receiver<Exit>)>,
    check: Option<Checked>,
    measured: Measured,
}

impl Task {
    /// Makes a service that is stopped.
    pub fn new(shared: Shared, entry: Arc<Entry>, orders: watch::Receiver<Order>) -> Self {
        let measured = Measured {
            since_ms: shared.clock.uptime_ms(),
            memory: None,
            writes: Writes::default(),
            cgroup: shared.host.cgroup(&entry.definition),
            rights: None,
        };
        // Requests that were made before this service had a task are done with.
        let done = Order {
            wanted: false,
            ..*orders.borrow()
        };
        Task {
            machine: Machine::new(Policy::of(&entry.definition)),
            shared,
            entry,
            started: None,
            fault: None,
            orders,
            done,
            exit: None,
            check: None,
            measured,
        }
    }

    fn definition(&self) -> &Definition {
        &self.entry.definition
    }

    /// Drives the service until it is stopped and nobody defines it any longer.
    pub async fn run(mut self) {
        let mut overview = self.shared.overview.subscribe();
        self.take_changes_and_orders().await;
        let mut measure = tokio::time::interval(MEASURE);
        loop {
            self.publish();
            if self.done.removed && *self.machine.state() == State::Stopped {
                return;
            }
            let event = tokio::select! {
                // Cancel safe: a change that is not taken is there the next time, as with all watches.
                _ = self.orders.changed() => None,
                // Cancel safe, as above.
                _ = overview.changed() => None,
                // Cancel safe: an exit that is not taken stays in its channel.
                event = ended(&mut self.exit) => Some(event),
                // Cancel safe: the check stays where it is and goes on.
                result = checked(&mut self.check) => Some(Event::Checked(result)),
                // Cancel safe: dropping a sleep has no effect.
                () = until(self.machine.deadline().map(|at| self.shared.clock.instant(at))) => Some(Event::Time),
                // Cancel safe: a tick that is not taken is there the next time.
                _ = measure.tick() => {
                    self.measured.memory = self.measure();
                    if let Some(written) = self.shared.host.written(self.definition()) {
                        self.measured.writes.count(self.shared.clock.uptime_ms(), written);
                    }
                    None
                }
            };
            match event {
                Some(event) => self.handle(event).await,
                None => {
                    overview.mark_unchanged();
                    self.take_changes_and_orders().await;
                }
            }
        }
    }

    /// Takes changes first: an order to start is taken knowing for whom to wait, and one to end knowing who ends before.
    async fn take_changes_and_orders(&mut self) {
        // The order first, though it is taken last: what all know is never older than one's own order.
        let order = *self.orders.borrow_and_update();
        let name = self.definition().name.clone();
        let (entry, fault, dependencies) = {
            let overview = self.shared.overview.borrow();
            let catalogue = &overview.catalogue;
            (
                catalogue.entries.get(&name).cloned(),
                catalogue.faults.get(&name).cloned(),
                dependencies(&name, &overview),
            )
        };
        self.fault = fault;
        if let Some(entry) = entry {
            self.adopt(entry).await;
        }
        if dependencies != *self.machine.dependencies() {
            self.handle(Event::Dependencies(dependencies)).await;
        }
        self.replace_if_outdated().await;
        let done = std::mem::replace(&mut self.done, order);
        if order.wanted != done.wanted {
            self.handle(Event::Want(order.wanted)).await;
        }
        if order.starts != done.starts {
            self.handle(Event::Start).await;
        }
        if order.restarts != done.restarts {
            self.handle(Event::Restart).await;
        }
    }

    /// Takes the service as it is wanted now. What needs no restart takes effect at once.
    async fn adopt(&mut self, entry: Arc<Entry>) {
        if *entry != *self.entry {
            if entry.definition.health != self.definition().health {
                self.check = None;
            }
            self.entry = entry;
        }
        let policy = Policy::of(self.definition());
        if policy != self.machine.policy() {
            self.handle(Event::Policy(policy)).await;
        }
    }

    /// Lets a process be replaced that runs from another command, or with other rights, limits or files.
    async fn replace_if_outdated(&mut self) {
        let Some(started) = self.started.clone() else {
            return;
        };
        let same = self.entry.starts_like(&started);
        if self.machine.is_up() {
            if same && *started != *self.entry {
                self.refresh(&started);
            }
            if self.machine.outdated() == same {
                self.handle(Event::Outdated(!same)).await;
            }
        } else {
            if self.machine.outdated() {
                self.handle(Event::Outdated(false)).await;
            }
            if !same {
                // What failed, or has finished, was another program: the new one is tried at once.
                self.started = None;
                self.handle(Event::Start).await;
            }
        }
    }

    /// Puts files in place that the service reads again by itself.
    fn refresh(&mut self, started: &Entry) {
        if started.files != self.entry.files {
            let refreshed = self.shared.host.refresh(self.definition(), &self.entry.files);
            let name = &self.definition().name;
            match refreshed {
                Ok(()) => self
                    .shared
                    .events
                    .info(name, "its files were replaced while it runs"),
                Err(error) => self.shared.events.error(name, chain(&error)),
            }
        }
        self.started = Some(self.entry.clone());
    }

    /// Takes an event, does what follows, and takes the answers to that.
    async fn handle(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            if matches!(event, Event::Checked(_)) {
                self.check = None;
            }
            let before = state_of(self.machine.state());
            let machine = self.machine.clone();
            let (machine, effects) = machine.next(self.shared.clock.now(), event);
            self.machine = machine;
            if state_of(self.machine.state()) != before {
                self.measured.since_ms = self.shared.clock.uptime_ms();
            }
            // Others must know that a process may exist before it does.
            self.publish();
            for effect in effects {
                events.extend(self.act(effect).await);
            }
        }
        self.plan_check();
    }

    async fn act(&mut self, effect: Effect) -> Option<Event> {
        let (host, name) = (self.shared.host.clone(), self.definition().name.clone());
        // How much is killed is decided by what the process was started from.
        let started = self.started.clone().unwrap_or_else(|| self.entry.clone());
        let running = &started.definition;
        let result = match effect {
            Effect::Spawn => return Some(self.spawn().await),
            Effect::Terminate { pid } => host.terminate(pid),
            Effect::Kill { pid } => host.kill(running, pid),
            Effect::Sweep => host.sweep(running).await,
            Effect::Report { good: true, text } => {
                self.shared.events.info(&name, text);
                Ok(())
            }
            Effect::Report { good: false, text } => {
                self.shared.events.warning(&name, text);
                Ok(())
            }
        };
        if let Err(error) = result {
            self.shared.events.error(&name, chain(&error));
        }
        None
    }

    async fn spawn(&mut self) -> Event {
        let entry = self.entry.clone();
        self.started = Some(entry.clone());
        match self.shared.host.spawn(&entry.definition, &entry.files).await {
            Ok(process) => {
                self.measured.rights = self.shared.host.rights(process.pid);
                self.exit = Some((process.pid, process.exit));
                Event::Spawned { pid: process.pid }
            }
            Err(error) => Event::SpawnFailed {
                reason: chain(&error),
            },
        }
    }

    /// Checks the health of a service that runs, and of no other.
    fn plan_check(&mut self) {
        let (State::Running { health, .. }, Some(check)) =
            (self.machine.state(), &self.entry.definition.health)
        else {
            self.check = None;
            return;
        };
        if self.check.is_some() {
            return;
        }
        let pause = match health {
            Health::Unknown { .. } => first_checks::pause(self.runs_for(), check.interval),
            _ => check.interval,
        };
        let (host, definition, check) = (self.shared.host.clone(), self.definition().clone(), check.clone());
        self.check = Some(Box::pin(async move {
            sleep(pause).await;
            ask(host.as_ref(), &definition, &check).await
        }));
    }

    /// Returns how long its process has run.
    fn runs_for(&self) -> Duration {
        let now = self.shared.clock.uptime_ms();
        Duration::from_millis(now.saturating_sub(self.measured.since_ms))
    }

    fn measure(&self) -> Option<u64> {
        let runs = matches!(self.machine.state(), State::Running { .. });
        runs.then(|| self.shared.host.memory(self.definition())).flatten()
    }

    fn publish(&self) {
        let status = describe(
            self.definition(),
            &self.machine,
            &self.measured,
            self.fault.as_deref(),
        );
        let peer = Peer::of(&self.machine, self.started.clone());
        self.shared.publish(&self.definition().name, peer, status);
    }
}

async fn ask(host: &dyn super::host::Host, definition: &Definition, check: &Check) -> Result<(), String> {
    match timeout(check.timeout, host.check(definition, &check.check)).await {
        Ok(result) => result,
        Err(_) => Err(format!("no answer within {}", human_time(check.timeout))),
    }
}

async fn ended(exit: &mut Option<(u32, oneshot::Receiver<Exit>)>) -> Event {
    let Some((pid, receiver)) = exit else {
        return pending().await;
    };
    let pid = *pid;
    // Whoever reaps holds the sender for as long as the process lives; should it be lost, so is the process.
    let how = receiver.await.unwrap_or(Exit::Signal(9));
    *exit = None;
    Event::Ended { pid, exit: how }
}

async fn checked(check: &mut Option<Checked>) -> Result<(), String> {
    match check {
        Some(check) => check.await,
        None => pending().await,
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

/// Waits until a moment, or forever when there is none.
pub(super) async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}
