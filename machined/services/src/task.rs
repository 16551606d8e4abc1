//! Drives one service: takes what happens to it to its state machine, and does what that says.

use std::future::pending;
use std::pin::Pin;
use std::time::Duration;

use quantity::human_time;
use service_definition::{Definition, Health as Check};
use state::chain;
use sys::process::Exit;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::around::around;
use super::describe::{Measured, describe, state_of};
use super::machine::{Effect, Event, Health, Machine, Policy, State};
use super::order::Order;
use super::supervisor::Shared;

/// How often a service that has never been well is asked how it is: the boot waits for it.
const IMPATIENT: Duration = Duration::from_millis(250);
/// How often its memory is looked at.
const MEASURE: Duration = Duration::from_secs(30);

type Checked = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// Is one service on its way.
pub struct Task {
    shared: Shared,
    definition: Definition,
    orders: watch::Receiver<Order>,
    done: Order,
    machine: Machine,
    exit: Option<(u32, oneshot::Receiver<Exit>)>,
    check: Option<Checked>,
    measured: Measured,
}

impl Task {
    /// Makes a service that rests.
    pub fn new(shared: Shared, definition: Definition, orders: watch::Receiver<Order>) -> Self {
        let measured = Measured {
            since_ms: shared.clock.uptime_ms(),
            memory: None,
            cgroup: shared.host.cgroup(&definition),
            rights: None,
        };
        // Requests that were made before this service had a task are done with.
        let done = Order {
            wanted: false,
            ..*orders.borrow()
        };
        Task {
            machine: Machine::new(Policy::of(&definition)),
            shared,
            definition,
            orders,
            done,
            exit: None,
            check: None,
            measured,
        }
    }

    /// Drives the service for as long as the future lives.
    pub async fn run(mut self) {
        let mut neighbours = self.shared.neighbours.subscribe();
        self.look_around_and_take_orders().await;
        let mut measure = tokio::time::interval(MEASURE);
        loop {
            self.publish();
            let event = tokio::select! {
                // Cancel safe: a change that is not taken is there the next time, as with all watches.
                _ = self.orders.changed() => None,
                // Cancel safe, as above.
                _ = neighbours.changed() => None,
                // Cancel safe: an exit that is not taken stays in its channel.
                event = ended(&mut self.exit) => Some(event),
                // Cancel safe: the check stays where it is and goes on.
                result = checked(&mut self.check) => Some(Event::Checked(result)),
                // Cancel safe: dropping a sleep has no effect.
                () = until(self.machine.deadline().map(|at| self.shared.clock.instant(at))) => Some(Event::Time),
                // Cancel safe: a tick that is not taken is there the next time.
                _ = measure.tick() => {
                    self.measured.memory = self.measure();
                    None
                }
            };
            match event {
                Some(event) => self.handle(event).await,
                None => {
                    neighbours.mark_unchanged();
                    self.look_around_and_take_orders().await;
                }
            }
        }
    }

    /// Looks first: an order to start is taken knowing for whom to wait, and one to end knowing who ends before.
    async fn look_around_and_take_orders(&mut self) {
        // The order first, though it is taken last: what all know is never older than what one is told.
        let order = *self.orders.borrow_and_update();
        let around = around(
            &self.definition,
            &self.shared.definitions,
            &self.shared.neighbours.borrow(),
        );
        if around != *self.machine.around() {
            self.handle(Event::Around(around)).await;
        }
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
        let (host, name) = (self.shared.host.clone(), self.definition.name.clone());
        let result = match effect {
            Effect::Spawn => return Some(self.spawn().await),
            Effect::Terminate { pid } => host.terminate(pid),
            Effect::Kill { pid } => host.kill(&self.definition, pid),
            Effect::Sweep => host.sweep(&self.definition).await,
            Effect::Tell { good: true, text } => {
                self.shared.events.info(&name, text);
                Ok(())
            }
            Effect::Tell { good: false, text } => {
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
        match self.shared.host.spawn(&self.definition).await {
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

    /// Sees to it that a service that runs is asked how it is, and no other.
    fn plan_check(&mut self) {
        let (State::Running { health, .. }, Some(check)) = (self.machine.state(), &self.definition.health)
        else {
            self.check = None;
            return;
        };
        if self.check.is_some() {
            return;
        }
        let pause = match health {
            Health::Unknown => IMPATIENT.min(check.interval),
            _ => check.interval,
        };
        let (host, definition, check) = (self.shared.host.clone(), self.definition.clone(), check.clone());
        self.check = Some(Box::pin(async move {
            sleep(pause).await;
            ask(host.as_ref(), &definition, &check).await
        }));
    }

    fn measure(&self) -> Option<u64> {
        let runs = matches!(self.machine.state(), State::Running { .. });
        runs.then(|| self.shared.host.memory(&self.definition)).flatten()
    }

    fn publish(&self) {
        let status = describe(&self.definition, &self.machine, &self.measured);
        self.shared.publish(&self.definition.name, &self.machine, status);
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

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}
