//! Decides what happens to one service: a state, an event, the next state and what is to be done.
//!
//! Everything here is pure. Time is a [`Duration`] since some moment in the past; who drives a [`Machine`] brings
//! each [`Event`] with the time it came, carries out the [`Effect`]s in order, and sends [`Event::Time`] when the
//! [`Machine::deadline`] has come.

mod back_off;
mod health;
mod types;

use std::time::Duration;

use quantity::human_time;
use service_definition::{Restart, Unhealthy};
use sys::process::Exit;

pub use back_off::{STABLE, pause};
pub use health::Health;
pub use types::{Dependencies, Effect, Event, Policy, State, Step, Then};

/// How long a killed process may take to be gone before it is killed once more.
const KILL_AGAIN: Duration = Duration::from_secs(10);

/// One service: what is wanted of it, its dependencies, and what it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    policy: Policy,
    wanted: bool,
    dependencies: Dependencies,
    outdated: bool,
    state: State,
    restarts: u32,
    last_exit: Option<Exit>,
}

impl Machine {
    /// Makes a service that is stopped, and that nobody wants yet.
    pub fn new(policy: Policy) -> Self {
        Machine {
            policy,
            wanted: false,
            dependencies: Dependencies::default(),
            outdated: false,
            state: State::Stopped,
            restarts: 0,
            last_exit: None,
        }
    }

    /// Returns what it does.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Returns how often it was started again.
    pub fn restarts(&self) -> u32 {
        self.restarts
    }

    /// Returns how its main process ended last.
    pub fn last_exit(&self) -> Option<Exit> {
        self.last_exit
    }

    /// Returns true if it is wanted.
    pub fn wanted(&self) -> bool {
        self.wanted
    }

    /// Returns its dependencies, as they were last reported.
    pub fn dependencies(&self) -> &Dependencies {
        &self.dependencies
    }

    /// Returns true if its process is to be replaced because its definition changed.
    pub fn outdated(&self) -> bool {
        self.outdated
    }

    /// Returns what its definition says about starting and stopping.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// Returns true if a process of it may exist.
    pub fn is_up(&self) -> bool {
        matches!(
            self.state,
            State::Starting { .. } | State::Running { .. } | State::Stopping { .. }
        )
    }

    /// Returns true if it is wanted and nothing it depends on is about to stop.
    pub fn should_run(&self) -> bool {
        self.wanted && self.dependencies.withdrawn.is_empty()
    }

    /// Returns the time at which it wants [`Event::Time`].
    pub fn deadline(&self) -> Option<Duration> {
        match &self.state {
            State::BackOff { until, .. } => Some(*until),
            State::Stopping {
                step: Step::Asked { until } | Step::Killed { until },
                ..
            } => Some(*until),
            _ => None,
        }
    }

    /// Takes one event: returns the service as it is then, and what is to be done.
    #[must_use]
    pub fn next(mut self, now: Duration, event: Event) -> (Self, Vec<Effect>) {
        let mut effects = Vec::new();
        match event {
            Event::Want(wanted) => self.wanted = wanted,
            Event::Dependencies(dependencies) => self.dependencies = dependencies,
            Event::Policy(policy) => self.set_policy(policy),
            Event::Outdated(outdated) => self.outdated = outdated && self.is_up(),
            Event::Start => self.start_asked(),
            Event::Restart => self.restart_asked(now, &mut effects),
            Event::Spawned { pid } => self.spawned(now, pid, &mut effects),
            Event::SpawnFailed { reason } => self.spawn_failed(now, reason, &mut effects),
            Event::Ended { pid, exit } => self.ended(now, pid, exit, &mut effects),
            Event::Checked(result) => self.checked(now, result, &mut effects),
            Event::Time => self.time(now, &mut effects),
        }
        self.settle(now, &mut effects);
        (self, effects)
    }

    fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
        if let State::Running { health, .. } = &mut self.state
            && policy.checks.is_none()
        {
            *health = Health::at_start(false);
        }
    }

    fn start_asked(&mut self) {
        if self.wanted
            && matches!(
                self.state,
                State::Finished | State::Failed { .. } | State::BackOff { .. }
            )
        {
            self.state = waiting();
        }
    }

    fn restart_asked(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        match self.state {
            State::Running { pid, .. } => self.stop(now, pid, Then::AsWanted, effects),
            _ => self.start_asked(),
        }
    }

    fn spawned(&mut self, now: Duration, pid: u32, effects: &mut Vec<Effect>) {
        if let State::Starting { failures } = self.state {
            effects.push(report(true, format!("started as process {pid}")));
            self.state = State::Running {
                pid,
                since: now,
                failures,
                health: Health::at_start(self.policy.checks.is_some()),
            };
        }
    }

    fn spawn_failed(&mut self, now: Duration, reason: String, effects: &mut Vec<Effect>) {
        if let State::Starting { failures } = self.state {
            effects.push(Effect::Sweep);
            // A program that is not there may come, and a full table of processes empties: policy `never` is about
            // how a service ends, and this one has not begun.
            self.back_off(now, failures + 1, format!("cannot be started: {reason}"), effects);
        }
    }

    fn ended(&mut self, now: Duration, pid: u32, exit: Exit, effects: &mut Vec<Effect>) {
        match &self.state {
            State::Running {
                pid: own,
                since,
                failures,
                ..
            } if *own == pid => {
                let stable = now.saturating_sub(*since) >= STABLE;
                let failures = if stable { 1 } else { failures + 1 };
                self.last_exit = Some(exit);
                effects.push(Effect::Sweep);
                self.ended_by_itself(now, exit, failures, effects);
            }
            State::Stopping { pid: own, then, .. } if *own == pid => {
                let then = then.clone();
                self.last_exit = Some(exit);
                effects.push(Effect::Sweep);
                effects.push(report(true, format!("ended: {exit}")));
                match then {
                    Then::BackOff { failures, reason } if self.should_run() => {
                        self.back_off(now, failures, reason, effects);
                    }
                    _ => self.state = waiting(),
                }
            }
            _ => {}
        }
    }

    fn ended_by_itself(&mut self, now: Duration, exit: Exit, failures: u32, effects: &mut Vec<Effect>) {
        if !self.wanted {
            effects.push(report(true, format!("ended: {exit}")));
            self.state = State::Stopped;
            return;
        }
        let succeeded = exit == Exit::Code(0);
        let again = match self.policy.restart {
            Restart::Always => true,
            Restart::OnFailure => !succeeded,
            Restart::Never => false,
        };
        if again {
            self.back_off(now, failures, format!("ended: {exit}"), effects);
        } else if succeeded {
            effects.push(report(true, "finished".to_owned()));
            self.state = State::Finished;
        } else {
            effects.push(report(
                false,
                format!("ended: {exit}; its policy is to leave it so"),
            ));
            self.state = State::Failed {
                reason: format!("ended: {exit}"),
            };
        }
    }

    fn back_off(&mut self, now: Duration, failures: u32, reason: String, effects: &mut Vec<Effect>) {
        let pause = pause(failures);
        effects.push(report(
            false,
            format!("{reason}; the next start is in {}", human_time(pause)),
        ));
        self.state = State::BackOff {
            until: now + pause,
            failures,
            reason,
        };
    }

    fn checked(&mut self, now: Duration, result: Result<(), String>, effects: &mut Vec<Effect>) {
        let (
            State::Running {
                pid,
                since,
                failures,
                health,
            },
            Some((limit, unhealthy)),
        ) = (&mut self.state, self.policy.checks)
        else {
            return;
        };
        let before = std::mem::replace(health, Health::Unknown { reason: None });
        *health = before.clone().next(result, limit);
        match (before, &*health) {
            (Health::Healthy | Health::Failing { .. }, Health::Unhealthy { reason }) => {
                effects.push(report(false, format!("is unhealthy: {reason}")));
                if unhealthy == Unhealthy::Restart {
                    let stable = now.saturating_sub(*since) >= STABLE;
                    let then = Then::BackOff {
                        failures: if stable { 1 } else { *failures + 1 },
                        reason: format!("was unhealthy: {reason}"),
                    };
                    let pid = *pid;
                    self.stop(now, pid, then, effects);
                }
            }
            (Health::Unknown { .. } | Health::Unhealthy { .. }, Health::Healthy) => {
                effects.push(report(true, "is healthy".to_owned()))
            }
            _ => {}
        }
    }

    fn time(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        match &mut self.state {
            State::Stopping { pid, step, .. } => {
                if let Step::Asked { .. } = step {
                    effects.push(report(false, "did not end in time, and is killed".to_owned()));
                }
                *step = Step::Killed {
                    until: now + KILL_AGAIN,
                };
                effects.push(Effect::Kill { pid: *pid });
            }
            State::BackOff { failures, .. } => {
                self.state = State::Waiting {
                    on: Vec::new(),
                    failures: *failures,
                };
            }
            _ => {}
        }
    }

    fn stop(&mut self, now: Duration, pid: u32, then: Then, effects: &mut Vec<Effect>) {
        effects.push(Effect::Terminate { pid });
        self.state = State::Stopping {
            pid,
            step: Step::Asked {
                until: now + self.policy.stop_timeout,
            },
            then,
        };
    }

    /// Makes the state follow from what is wanted and from the dependencies. It ends: each step leads to a state in which
    /// the service is stopped, waits, or depends on an answer from outside.
    fn settle(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        if !self.wanted {
            match self.state {
                State::Running { pid, .. } if self.dependencies.dependents.is_empty() => {
                    self.stop(now, pid, Then::AsWanted, effects);
                }
                // What is being started is stopped when it has a process; what still has dependents waits for them.
                State::Running { .. } | State::Starting { .. } | State::Stopping { .. } => {}
                _ => self.state = State::Stopped,
            }
            return;
        }
        match &mut self.state {
            State::Stopped => {
                self.state = waiting();
                self.settle(now, effects);
            }
            State::Running { pid, .. }
                if !self.dependencies.withdrawn.is_empty() && self.dependencies.dependents.is_empty() =>
            {
                let pid = *pid;
                self.stop(now, pid, Then::AsWanted, effects);
            }
            // Those that depend on it and stay as they are need not end, as with a restart on request.
            State::Running { pid, .. } if self.outdated && self.dependencies.restarting.is_empty() => {
                let pid = *pid;
                effects.push(report(true, "its definition changed; it is restarted".to_owned()));
                self.stop(now, pid, Then::AsWanted, effects);
            }
            State::BackOff { .. } if !self.dependencies.withdrawn.is_empty() => {
                self.state = waiting();
                self.settle(now, effects);
            }
            State::Waiting { on, failures } => {
                *on = self.dependencies.withdrawn.clone();
                let more = self
                    .dependencies
                    .missing
                    .iter()
                    .filter(|name| !self.dependencies.withdrawn.contains(name));
                on.extend(more.cloned());
                if on.is_empty() {
                    if self.last_exit.is_some() || *failures > 0 {
                        self.restarts += 1;
                    }
                    self.outdated = false;
                    self.state = State::Starting { failures: *failures };
                    effects.push(Effect::Spawn);
                }
            }
            _ => {}
        }
    }
}

fn waiting() -> State {
    State::Waiting {
        on: Vec::new(),
        failures: 0,
    }
}

fn report(good: bool, text: String) -> Effect {
    Effect::Report { good, text }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
