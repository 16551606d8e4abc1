//! What a service does, event by event, and what it never does.

use service_definition::{HealthCheck, Service, check};

use super::*;

const PID: u32 = 7;

impl Machine {
    /// Makes a service that is wanted and in this state, for tests of others.
    pub(crate) fn in_state(state: State) -> Self {
        Machine {
            wanted: true,
            state,
            ..Machine::new(policy(|_| {}))
        }
    }
}

fn policy(change: impl FnOnce(&mut Service)) -> Policy {
    let mut service = Service::new("a", ["/a"]);
    change(&mut service);
    let name = service.name.clone();
    Policy::of(check(vec![service]).unwrap().get(&name).unwrap())
}

pub(super) fn checked(unhealthy: Unhealthy) -> Policy {
    policy(|service| {
        service.health = Some(HealthCheck {
            socket: Some("/a.sock".into()),
            every_seconds: 10,
            timeout_seconds: 5,
            failures: 2,
            unhealthy,
            ..HealthCheck::default()
        });
    })
}

/// A service that is driven by hand, and what is to be done for it, without what is reported to people.
pub(super) struct Bench {
    pub(super) machine: Machine,
    now: Duration,
    effects: Vec<Effect>,
}

impl Bench {
    pub(super) fn new(policy: Policy) -> Self {
        Bench {
            machine: Machine::new(policy),
            now: Duration::ZERO,
            effects: Vec::new(),
        }
    }

    /// Makes a service that runs.
    fn running(policy: Policy) -> Self {
        let mut bench = Bench::new(policy);
        bench.send(Event::Want(true));
        bench.send(Event::Spawned { pid: PID });
        bench.effects.clear();
        bench
    }

    pub(super) fn send(&mut self, event: Event) {
        let (machine, effects) = self.machine.clone().next(self.now, event);
        self.machine = machine;
        let deeds = effects
            .into_iter()
            .filter(|effect| !matches!(effect, Effect::Report { .. }));
        self.effects.extend(deeds);
    }

    pub(super) fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.send(Event::Time);
    }

    fn ends(&mut self, code: i32) {
        self.send(Event::Ended {
            pid: PID,
            exit: Exit::Code(code),
        });
    }

    pub(super) fn depend(&mut self, missing: &[&str], withdrawn: &[&str], dependents: &[&str]) {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        self.send(Event::Dependencies(Dependencies {
            missing: names(missing),
            withdrawn: names(withdrawn),
            dependents: names(dependents),
            undefined: Vec::new(),
            restarting: Vec::new(),
        }));
    }

    fn done(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Plays a world that starts and kills what it is asked to, and in which nothing ends by asking.
    pub(super) fn obey(&mut self) {
        while !self.effects.is_empty() {
            for effect in self.done() {
                match effect {
                    Effect::Spawn => self.send(Event::Spawned { pid: PID }),
                    Effect::Kill { pid } => self.send(Event::Ended {
                        pid,
                        exit: Exit::Signal(9),
                    }),
                    _ => {}
                }
            }
        }
    }

    fn is_running(&self) -> bool {
        matches!(self.machine.state(), State::Running { .. })
    }

    fn back_off(&self) -> Option<Duration> {
        match self.machine.state() {
            State::BackOff { until, .. } => Some(*until - self.now),
            _ => None,
        }
    }
}

#[test]
fn waits_for_others_then_starts_once() {
    let mut bench = Bench::new(policy(|_| {}));
    bench.depend(&["engine"], &[], &[]);
    bench.send(Event::Want(true));
    let waiting = State::Waiting {
        on: vec!["engine".into()],
        failures: 0,
    };
    assert_eq!(bench.machine.state(), &waiting);
    bench.depend(&[], &[], &[]);
    bench.depend(&[], &[], &[]);
    assert_eq!(bench.done(), [Effect::Spawn]);
    bench.send(Event::Spawned { pid: PID });
    assert!(bench.is_running());
    assert_eq!(bench.machine.restarts(), 0);
}

#[test]
fn stops_politely_then_by_force_then_again() {
    let mut bench = Bench::running(policy(|service| service.stop_seconds = 5));
    bench.send(Event::Want(false));
    assert_eq!(bench.done(), [Effect::Terminate { pid: PID }]);
    bench.pass(4);
    assert_eq!(bench.done(), []);
    bench.pass(1);
    assert_eq!(bench.done(), [Effect::Kill { pid: PID }]);
    bench.pass(10);
    assert_eq!(bench.done(), [Effect::Kill { pid: PID }]);
    bench.ends(0);
    assert_eq!(bench.done(), [Effect::Sweep]);
    assert_eq!(
        (bench.machine.state(), bench.machine.deadline()),
        (&State::Stopped, None)
    );
}

#[test]
fn what_is_unwanted_while_it_starts_is_stopped_when_it_has_started() {
    let mut bench = Bench::new(policy(|_| {}));
    bench.send(Event::Want(true));
    bench.send(Event::Want(false));
    assert_eq!(bench.done(), [Effect::Spawn]);
    bench.send(Event::Spawned { pid: PID });
    assert_eq!(bench.done(), [Effect::Terminate { pid: PID }]);
}

#[test]
fn the_pause_grows_with_each_failure_and_is_forgotten_after_a_stable_minute() {
    let mut bench = Bench::running(policy(|_| {}));
    let mut pauses = Vec::new();
    for lasted in [0, 0, 30, 59, 60, 0] {
        bench.now += Duration::from_secs(lasted);
        bench.ends(1);
        let pause = bench.back_off().unwrap().as_secs();
        pauses.push(pause);
        bench.pass(pause);
        bench.send(Event::Spawned { pid: PID });
        assert!(bench.is_running());
    }
    assert_eq!(pauses, [1, 2, 4, 8, 1, 2]);
    assert_eq!(bench.machine.restarts(), 6);
}

#[test]
fn a_pause_ends_in_time_and_not_before() {
    let mut bench = Bench::running(policy(|_| {}));
    bench.ends(1);
    bench.done();
    bench.send(Event::Time);
    assert_eq!(bench.done(), []);
    bench.pass(1);
    assert_eq!(bench.done(), [Effect::Spawn]);
}

#[test]
fn the_policy_says_what_follows_an_end() {
    use Restart::{Always, Never, OnFailure};
    let failed = State::Failed {
        reason: "ended: exit code 3".into(),
    };
    let table = [
        (Always, 0, None),
        (Always, 3, None),
        (OnFailure, 0, Some(State::Finished)),
        (OnFailure, 3, None),
        (Never, 0, Some(State::Finished)),
        (Never, 3, Some(failed)),
    ];
    for (restart, code, rest) in table {
        let mut bench = Bench::running(policy(|service| service.restart = restart));
        bench.ends(code);
        match rest {
            Some(state) => assert_eq!(bench.machine.state(), &state),
            None => assert!(bench.back_off().is_some(), "{restart:?} {code}"),
        }
        bench.done();
        bench.send(Event::Start);
        assert_eq!(bench.done(), [Effect::Spawn], "a request starts it in any case");
    }
}

#[test]
fn a_program_that_cannot_start_is_tried_again() {
    let mut bench = Bench::new(policy(|service| service.restart = Restart::Never));
    bench.send(Event::Want(true));
    let reason = "no such file".to_owned();
    bench.send(Event::SpawnFailed { reason });
    assert_eq!(bench.back_off().unwrap().as_secs(), 1);
    bench.pass(1);
    assert_eq!(bench.done(), [Effect::Spawn, Effect::Sweep, Effect::Spawn]);
}

#[test]
fn a_restart_is_an_end_and_a_start_without_a_pause() {
    let mut bench = Bench::running(policy(|_| {}));
    bench.depend(&[], &[], &["kubelet"]);
    bench.send(Event::Restart);
    bench.ends(1);
    let expected = [Effect::Terminate { pid: PID }, Effect::Sweep, Effect::Spawn];
    assert_eq!(bench.done(), expected, "those that depend on it are left alone");
    assert_eq!(bench.machine.restarts(), 1);
}

#[test]
fn an_unwanted_service_waits_for_those_that_depend_on_it() {
    let mut bench = Bench::running(policy(|_| {}));
    bench.depend(&[], &[], &["kubelet"]);
    bench.send(Event::Want(false));
    assert_eq!(bench.done(), []);
    bench.depend(&[], &[], &[]);
    assert_eq!(bench.done(), [Effect::Terminate { pid: PID }]);
}

#[test]
fn a_service_ends_when_what_it_needs_is_about_to_and_comes_back_with_it() {
    let mut bench = Bench::running(policy(|_| {}));
    bench.depend(&[], &["engine"], &[]);
    bench.ends(0);
    assert_eq!(bench.done(), [Effect::Terminate { pid: PID }, Effect::Sweep]);
    let waiting = State::Waiting {
        on: vec!["engine".into()],
        failures: 0,
    };
    assert_eq!(bench.machine.state(), &waiting);
    bench.depend(&[], &[], &[]);
    assert_eq!(bench.done(), [Effect::Spawn]);
}

#[test]
fn a_crash_of_what_it_needs_leaves_a_service_alone() {
    let mut bench = Bench::running(policy(|_| {}));
    bench.depend(&["engine"], &[], &[]);
    assert!(bench.is_running());
    assert_eq!(bench.done(), []);
}

#[test]
fn an_unhealthy_service_is_reported_and_restarted_only_if_it_says_so() {
    for (unhealthy, expected) in [
        (Unhealthy::Report, vec![]),
        (Unhealthy::Restart, vec![Effect::Terminate { pid: PID }]),
    ] {
        let mut bench = Bench::running(checked(unhealthy));
        for result in [Ok(()), Err("e".to_owned()), Err("e".to_owned())] {
            bench.send(Event::Checked(result));
        }
        assert_eq!(bench.done(), expected);
        if unhealthy == Unhealthy::Restart {
            bench.ends(0);
            assert_eq!(bench.back_off().unwrap().as_secs(), 1);
        }
    }
}

#[test]
fn what_belongs_to_another_process_is_ignored() {
    let mut bench = Bench::running(policy(|_| {}));
    bench.send(Event::Ended {
        pid: PID + 1,
        exit: Exit::Code(0),
    });
    bench.send(Event::Spawned { pid: PID + 1 });
    bench.send(Event::SpawnFailed {
        reason: "late".into(),
    });
    bench.send(Event::Checked(Err("no check was made".into())));
    assert!(bench.is_running());
    assert_eq!(bench.done(), []);
}
