//! The types of the state machine: states, events, effects.

use std::time::Duration;

use service_definition::{Definition, Restart, Unhealthy};
use sys::process::Exit;

use super::Health;

/// What a service does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It is stopped because nobody wants it.
    Stopped,
    /// It did what it had to do, and stays stopped.
    Finished,
    /// It failed, and its policy says to leave it.
    Failed {
        /// How it ended.
        reason: String,
    },
    /// It waits for other services.
    Waiting {
        /// Their names.
        on: Vec<String>,
        /// How often it failed in a row before.
        failures: u32,
    },
    /// It is being started.
    Starting {
        /// How often it failed in a row before.
        failures: u32,
    },
    /// It runs.
    Running {
        /// Its main process.
        pid: u32,
        /// Since when.
        since: Duration,
        /// How often it failed in a row before.
        failures: u32,
        /// What its health check says.
        health: Health,
    },
    /// It was asked to end.
    Stopping {
        /// Its main process.
        pid: u32,
        /// How far this has come.
        step: Step,
        /// What follows.
        then: Then,
    },
    /// It failed, and waits before it is started again.
    BackOff {
        /// Until when.
        until: Duration,
        /// How often it failed in a row.
        failures: u32,
        /// How it ended last.
        reason: String,
    },
}

/// How far stopping has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It was asked to end, and is killed at this time.
    Asked {
        /// The time.
        until: Duration,
    },
    /// It was killed, and is killed again at this time.
    Killed {
        /// The time.
        until: Duration,
    },
}

/// What follows when a service that was asked to end has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Then {
    /// Whatever is wanted then: staying stopped, or a new start at once.
    AsWanted,
    /// A new start after a pause: it had to be stopped because it was unhealthy.
    BackOff {
        /// How often it failed in a row.
        failures: u32,
        /// What was wrong with it.
        reason: String,
    },
}

/// The other services that a service depends on now, and those that depend on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dependencies {
    /// Services that it waits for before it starts.
    pub missing: Vec<String>,
    /// Services it depends on that are about to stop, or are not there: it must end before they do.
    pub withdrawn: Vec<String>,
    /// Those of them that nobody defines.
    pub undefined: Vec<String>,
    /// Services that must end before it is stopped.
    pub dependents: Vec<String>,
    /// Services behind it that are to be restarted as well: they end before it does.
    pub restarting: Vec<String>,
}

/// Something that happened to a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Definition, machine config and requests together want it to run, or to be stopped.
    Want(bool),
    /// Somebody asked for a start: a pause, or what its policy left stopped, ends now.
    Start,
    /// Somebody asked for an end and a new start.
    Restart,
    /// Its dependencies changed.
    Dependencies(Dependencies),
    /// Its policy changed; that takes no restart.
    Policy(Policy),
    /// Its process was, or was not, started from a definition that is no longer the one wanted.
    Outdated(bool),
    /// It was started.
    Spawned {
        /// Its main process.
        pid: u32,
    },
    /// It could not be started.
    SpawnFailed {
        /// Why.
        reason: String,
    },
    /// Its main process ended.
    Ended {
        /// The process.
        pid: u32,
        /// How it ended.
        exit: Exit,
    },
    /// Its health was checked.
    Checked(Result<(), String>),
    /// Time went by.
    Time,
}

/// Something that is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Start it, and answer with [`Event::Spawned`] or [`Event::SpawnFailed`].
    Spawn,
    /// Ask its main process to end.
    Terminate {
        /// The process.
        pid: u32,
    },
    /// Kill it, as far as its kill mode says.
    Kill {
        /// The main process.
        pid: u32,
    },
    /// Remove what its main process left behind, as far as its kill mode says.
    Sweep,
    /// Report it as an event.
    Report {
        /// Set unless it is a warning.
        good: bool,
        /// One sentence.
        text: String,
    },
}

/// What a definition says about starting and stopping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    pub(super) restart: Restart,
    pub(super) stop_timeout: Duration,
    /// How many checks must fail in a row, and what to do then; none when there is no check.
    pub(super) checks: Option<(u32, Unhealthy)>,
}

impl Policy {
    /// Returns what matters here of a definition.
    pub fn of(definition: &Definition) -> Self {
        let checks = definition.health.as_ref();
        Policy {
            restart: definition.restart,
            stop_timeout: definition.stop_timeout,
            checks: checks.map(|health| (health.failures, health.unhealthy)),
        }
    }
}
