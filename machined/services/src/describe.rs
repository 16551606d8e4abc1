//! Describes in a status what a service does.

use quantity::human_time;
use service_definition::Definition;
use state::kinds::{Rights, ServiceHealth, ServiceState, ServiceStatus};

use super::machine::{Health, Machine, State, Step};
use super::writes::Writes;

const MIB: u64 = 1 << 20;

/// What a status holds besides what the state machine knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Measured {
    /// When the present state began, in milliseconds since the kernel started.
    pub since_ms: u64,
    /// The memory it uses, in bytes.
    pub memory: Option<u64>,
    /// What it has written.
    pub writes: Writes,
    /// Its cgroup.
    pub cgroup: String,
    /// What its main process may do.
    pub rights: Option<Rights>,
}

/// Describes a service. `fault` is what is wrong with its newest spec, when an earlier one runs in its place.
pub fn describe(
    definition: &Definition,
    machine: &Machine,
    measured: &Measured,
    fault: Option<&str>,
) -> ServiceStatus {
    let (pid, health) = match machine.state() {
        State::Running { pid, health, .. } => (Some(*pid), health_of(health)),
        State::Stopping { pid, .. } => (Some(*pid), ServiceHealth::Unknown),
        _ => (None, ServiceHealth::Unknown),
    };
    let message = message(definition, machine);
    let (health, message) = match fault {
        Some(fault) => (
            ServiceHealth::Unhealthy,
            format!("its new spec is not valid, and the last valid one stays in effect: {fault} ({message})"),
        ),
        None => (health, message),
    };
    let written = measured.writes.counted();
    ServiceStatus {
        state: state_of(machine.state()),
        health,
        message,
        pid,
        restarts: machine.restarts(),
        since_ms: measured.since_ms,
        cgroup: measured.cgroup.clone(),
        wanted: machine.wanted(),
        last_exit: machine.last_exit().map(|exit| exit.to_string()),
        memory_bytes: measured.memory.map(rounded),
        written_bytes: written.map(|(total, _)| rounded(total)),
        written_last_hour_bytes: written.map(|(_, hour)| rounded(hour)),
        rights: pid.and(measured.rights.clone()),
    }
}

/// Returns the nearest whole MiB, so that a status does not change all the time.
fn rounded(bytes: u64) -> u64 {
    (bytes + MIB / 2) / MIB * MIB
}

/// Describes a service that cannot run because its spec is not valid.
pub fn describe_refused(fault: &str, wanted: bool, since_ms: u64) -> ServiceStatus {
    ServiceStatus {
        state: if wanted {
            ServiceState::Failed
        } else {
            ServiceState::Stopped
        },
        health: ServiceHealth::Unhealthy,
        message: format!("its spec is not valid: {fault}"),
        pid: None,
        restarts: 0,
        since_ms,
        cgroup: String::new(),
        wanted,
        last_exit: None,
        memory_bytes: None,
        written_bytes: None,
        written_last_hour_bytes: None,
        rights: None,
    }
}

/// Returns the short form of a state.
pub fn state_of(state: &State) -> ServiceState {
    match state {
        State::Waiting { .. } => ServiceState::Waiting,
        State::Starting { .. } => ServiceState::Starting,
        State::Running {
            health: Health::Unknown { .. },
            ..
        } => ServiceState::Starting,
        State::Running { .. } => ServiceState::Running,
        State::Stopping { .. } => ServiceState::Stopping,
        State::Stopped | State::Finished => ServiceState::Stopped,
        State::BackOff { .. } | State::Failed { .. } => ServiceState::Failed,
    }
}

fn health_of(health: &Health) -> ServiceHealth {
    match health {
        Health::Unknown { .. } => ServiceHealth::Unknown,
        Health::Healthy | Health::Failing { .. } => ServiceHealth::Healthy,
        Health::Unhealthy { .. } => ServiceHealth::Unhealthy,
    }
}

fn message(definition: &Definition, machine: &Machine) -> String {
    match machine.state() {
        State::Stopped => "not wanted".to_owned(),
        State::Finished => "finished".to_owned(),
        State::Failed { reason } => format!("{reason}; left so by its policy"),
        State::Waiting { on, .. } => {
            let undefined = &machine.dependencies().undefined;
            let names = on.iter().map(|name| match undefined.contains(name) {
                true => format!("{name}, which is not defined"),
                false => name.clone(),
            });
            format!("waits for {}", names.collect::<Vec<_>>().join(", "))
        }
        State::Starting { .. } => "is being started".to_owned(),
        State::Running { .. } if !machine.should_run() => {
            format!(
                "waits for {} to end first",
                machine.dependencies().dependents.join(", ")
            )
        }
        State::Running { .. } if machine.outdated() => {
            let first = machine.dependencies().restarting.join(", ");
            format!("waits for {first} to end first, and is restarted with its new definition")
        }
        State::Running { health, .. } => match health {
            Health::Unknown { reason: None } => "runs, and is not healthy yet".to_owned(),
            Health::Unknown { reason: Some(reason) } => format!("runs, and is not healthy yet: {reason}"),
            Health::Healthy => "runs".to_owned(),
            Health::Failing { checks } => {
                let limit = definition.health.as_ref().map_or(0, |health| health.failures);
                format!("runs; {checks} of {limit} checks failed")
            }
            Health::Unhealthy { reason } => reason.clone(),
        },
        State::Stopping {
            step: Step::Asked { .. },
            ..
        } => "was asked to end".to_owned(),
        State::Stopping { .. } => "did not end when asked, and was killed".to_owned(),
        State::BackOff { failures, reason, .. } => {
            let pause = human_time(super::machine::pause(*failures));
            format!("{reason}; failures in a row: {failures}, pause before the next start: {pause}")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use service_definition::{Service, check};

    use super::super::machine::Then;
    use super::*;

    fn describe_state(state: State) -> ServiceStatus {
        let all = check(vec![Service::new("a", ["/a"])]).unwrap();
        let measured = Measured {
            memory: Some(3 * MIB - 7),
            writes: {
                let mut writes = Writes::default();
                writes.count(0, crate::writes::Written::Whole(9 * MIB + 5));
                writes
            },
            ..Measured::default()
        };
        describe(all.get("a").unwrap(), &Machine::in_state(state), &measured, None)
    }

    fn running(health: Health) -> State {
        State::Running {
            pid: 9,
            since: Duration::ZERO,
            failures: 0,
            health,
        }
    }

    #[test]
    fn each_state_has_its_word_and_sentence() {
        let stopping = |step| State::Stopping {
            pid: 9,
            step,
            then: Then::AsWanted,
        };
        let until = Duration::ZERO;
        let on = vec!["b".to_owned(), "c".to_owned()];
        let table = [
            (
                State::Waiting { on, failures: 0 },
                ServiceState::Waiting,
                "waits for b, c",
            ),
            (
                running(Health::Unknown { reason: None }),
                ServiceState::Starting,
                "runs, and is not healthy yet",
            ),
            (
                running(Health::Unknown {
                    reason: Some("no answer within 5s".into()),
                }),
                ServiceState::Starting,
                "runs, and is not healthy yet: no answer within 5s",
            ),
            (running(Health::Healthy), ServiceState::Running, "runs"),
            (
                stopping(Step::Asked { until }),
                ServiceState::Stopping,
                "was asked to end",
            ),
            (
                stopping(Step::Killed { until }),
                ServiceState::Stopping,
                "did not end when asked, and was killed",
            ),
            (State::Finished, ServiceState::Stopped, "finished"),
            (
                State::BackOff {
                    until,
                    failures: 3,
                    reason: "ended: exit code 1".into(),
                },
                ServiceState::Failed,
                "ended: exit code 1; failures in a row: 3, pause before the next start: 4s",
            ),
        ];
        for (state, word, sentence) in table {
            let status = describe_state(state);
            assert_eq!((status.state, status.message.as_str()), (word, sentence));
        }
    }

    #[test]
    fn health_and_process_are_those_of_the_running() {
        let status = describe_state(running(Health::Unhealthy {
            reason: "deaf".into(),
        }));
        assert_eq!((status.health, status.pid), (ServiceHealth::Unhealthy, Some(9)));
        assert_eq!(
            (status.message.as_str(), status.memory_bytes),
            ("deaf", Some(3 * MIB))
        );
        assert_eq!(
            (status.written_bytes, status.written_last_hour_bytes),
            (Some(9 * MIB), Some(9 * MIB))
        );
        assert_eq!(describe_state(State::Finished).pid, None);
    }
}
