//! What a service never does, whatever happens.

use proptest::prelude::*;

use super::tests::{Bench, checked};
use super::*;

/// What may happen next, before it is known what the service does.
#[derive(Debug, Clone)]
enum Chance {
    Event(Event),
    /// What was started answers: it runs, or it could not be started.
    Answer(bool),
    /// The process, if there is one, ends.
    End(i32),
    Pass(u64),
}

fn chance() -> impl Strategy<Value = Chance> {
    let names = || proptest::collection::vec(prop_oneof![Just("x".to_owned()), Just("y".to_owned())], 0..2);
    let dependencies = (names(), names(), names(), names());
    let dependencies = dependencies.prop_map(|(missing, withdrawn, dependents, restarting)| Dependencies {
        missing,
        withdrawn,
        undefined: Vec::new(),
        dependents,
        restarting,
    });
    let health = prop_oneof![Just(Ok(())), Just(Err("e".to_owned()))];
    prop_oneof![
        3 => any::<bool>().prop_map(|wanted| Chance::Event(Event::Want(wanted))),
        2 => Just(Chance::Event(Event::Start)),
        2 => Just(Chance::Event(Event::Restart)),
        2 => dependencies.prop_map(|dependencies| Chance::Event(Event::Dependencies(dependencies))),
        2 => any::<bool>().prop_map(|outdated| Chance::Event(Event::Outdated(outdated))),
        1 => any_policy().prop_map(|policy| Chance::Event(Event::Policy(policy))),
        2 => health.prop_map(|result| Chance::Event(Event::Checked(result))),
        1 => (0..9_u32).prop_map(|pid| Chance::Event(Event::Ended { pid: 1_000_000 + pid, exit: Exit::Code(0) })),
        4 => any::<bool>().prop_map(Chance::Answer),
        4 => (0..2).prop_map(Chance::End),
        4 => (0..100_u64).prop_map(Chance::Pass),
    ]
}

fn any_policy() -> impl Strategy<Value = Policy> {
    let restart = prop_oneof![
        Just(Restart::Always),
        Just(Restart::OnFailure),
        Just(Restart::Never)
    ];
    (
        restart,
        prop_oneof![Just(Unhealthy::Report), Just(Unhealthy::Restart)],
    )
        .prop_map(|(restart, unhealthy)| Policy {
            restart,
            ..checked(unhealthy)
        })
}

proptest! {
    /// Plays any sequence against a world that has at most one process of the service.
    #[test]
    fn whatever_happens_one_process_at_most_and_none_that_nobody_wants(
        policy in any_policy(),
        chances in proptest::collection::vec(chance(), 0..80),
    ) {
        let mut machine = Machine::new(policy);
        let (mut now, mut wanted, mut pids) = (Duration::ZERO, false, 0_u32);
        let (mut asked, mut alive) = (false, None);
        for chance in chances {
            let event = match chance {
                Chance::Event(event) => event,
                Chance::Answer(starts) if asked => {
                    asked = false;
                    if starts {
                        pids += 1;
                        alive = Some(pids);
                        Event::Spawned { pid: pids }
                    } else {
                        Event::SpawnFailed { reason: "e".into() }
                    }
                }
                Chance::End(code) if alive.is_some() => {
                    Event::Ended { pid: alive.take().unwrap(), exit: Exit::Code(code) }
                }
                Chance::Answer(_) | Chance::End(_) => continue,
                Chance::Pass(seconds) => {
                    now += Duration::from_secs(seconds);
                    Event::Time
                }
            };
            if let Event::Want(want) = event {
                wanted = want;
            }
            let (next, effects) = machine.next(now, event);
            machine = next;
            for effect in effects {
                match effect {
                    Effect::Spawn => {
                        prop_assert!(wanted, "a service that nobody wants is never started");
                        prop_assert!(machine.dependencies().missing.is_empty() && machine.dependencies().withdrawn.is_empty());
                        prop_assert!(alive.is_none() && !asked, "one process at most");
                        asked = true;
                    }
                    Effect::Terminate { pid } | Effect::Kill { pid } => prop_assert_eq!(alive, Some(pid)),
                    Effect::Sweep => prop_assert_eq!(alive, None),
                    Effect::Report { .. } => {}
                }
            }
            // What the state says is what the world is.
            match machine.state() {
                State::Running { pid, .. } | State::Stopping { pid, .. } => prop_assert_eq!(alive, Some(*pid)),
                State::Starting { .. } => prop_assert!(asked),
                _ => prop_assert!(alive.is_none() && !asked),
            }
            // Nothing waits forever without a reason: there is a deadline, an answer to come, or a name.
            match machine.state() {
                State::Waiting { on, .. } => prop_assert!(!on.is_empty()),
                State::BackOff { .. } | State::Stopping { .. } => prop_assert!(machine.deadline().is_some()),
                State::Stopped => prop_assert!(!wanted),
                State::Running { .. } if !wanted => prop_assert!(!machine.dependencies().dependents.is_empty()),
                State::Running { .. } if machine.outdated() => {
                    prop_assert!(!machine.dependencies().restarting.is_empty());
                }
                _ => {}
            }
        }
    }

    /// After it was told to stop, and everything had its time, a service is stopped.
    #[test]
    fn a_service_that_is_told_to_rest_comes_to_rest(
        policy in any_policy(),
        chances in proptest::collection::vec(chance(), 0..40),
    ) {
        let mut bench = Bench::new(policy);
        for chance in chances {
            match chance {
                Chance::Event(event) => bench.send(event),
                Chance::Pass(seconds) => bench.pass(seconds),
                Chance::Answer(_) | Chance::End(_) => {}
            }
            bench.obey();
        }
        bench.depend(&[], &[], &[]);
        bench.send(Event::Want(false));
        bench.obey();
        // The longest a service may be given is an hour.
        bench.pass(3600);
        bench.obey();
        prop_assert_eq!(bench.machine.state(), &State::Stopped);
    }
}
