//! What specs, crashes and requests lead to, in any sequence.

use std::collections::BTreeMap;

use proptest::prelude::*;
use service_definition::Service;
use state::kinds::{ServiceSpec, ServiceState};
use sys::process::Exit;
use tokio::time::sleep;

use super::super::testing::{Bench, CONFIG};
use super::tests::service;
use super::*;

/// The services that controllers add and remove.
const NAMES: [&str; 4] = ["a", "b", "c", "d"];
/// Longer than the longest pause and the time that a service has to end.
const SETTLED: Duration = Duration::from_secs(300);

/// Something that happens to a node.
#[derive(Debug, Clone)]
enum Step {
    /// A controller wants this service: which, its argument, whom it depends on, whom it comes after, and whether its spec
    /// is valid.
    Want(usize, u8, Option<usize>, Option<usize>, bool),
    Remove(usize),
    Crash(usize, i32),
    Start(usize),
    Stop(usize),
    Restart(usize),
    /// Its supervision panics.
    Panic(usize),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let one = || 0..NAMES.len();
    let other = || proptest::option::of(one());
    prop_oneof![
        6 => (one(), 0..3_u8, other(), other(), prop::bool::weighted(0.85))
            .prop_map(|(name, argument, needs, after, valid)| Step::Want(name, argument, needs, after, valid)),
        3 => one().prop_map(Step::Remove),
        2 => (one(), 0..2).prop_map(|(name, code)| Step::Crash(name, code)),
        1 => one().prop_map(Step::Start),
        1 => one().prop_map(Step::Stop),
        1 => one().prop_map(Step::Restart),
        1 => one().prop_map(Step::Panic),
        5 => (0..30_000_u64).prop_map(Step::Wait),
    ]
}

fn spec(name: usize, argument: u8, needs: Option<usize>, after: Option<usize>, valid: bool) -> ServiceSpec {
    let program = if valid { "/usr/bin/x" } else { "x" };
    let mut service = Service::new(NAMES[name], [program, &argument.to_string()]);
    // Upwards only: who is refused in a cycle depends on who was first, and has tests of its own.
    let above = |other: Option<usize>| {
        other
            .filter(|other| *other > name)
            .map(|other| NAMES[other].to_owned())
    };
    service.depends_on = above(needs).into_iter().collect();
    service.after = above(after).into_iter().chain(["image".to_owned()]).collect();
    service.stop_seconds = 5;
    ServiceSpec::new(service)
}

/// What the last specs and requests want.
#[derive(Default)]
struct Wanted {
    /// The last valid spec of each, since it was last removed.
    specs: BTreeMap<usize, ServiceSpec>,
    /// Set when the newest spec is valid.
    valid: BTreeMap<usize, bool>,
    stopped: BTreeMap<usize, bool>,
}

impl Wanted {
    fn runs(&self, name: usize) -> bool {
        let Some(spec) = self.specs.get(&name) else {
            return false;
        };
        let position = |other: &String| NAMES.iter().position(|known| known == other);
        let needs = spec.service.depends_on.iter().filter_map(position);
        !self.stopped.get(&name).copied().unwrap_or(false) && needs.into_iter().all(|other| self.runs(other))
    }
}

async fn play(steps: Vec<Step>) {
    let bench = Bench::start(vec![service("image")], Some(CONFIG)).await;
    for name in NAMES {
        if name != "d" {
            bench.host.make_slow(name, Duration::from_secs(1));
        }
    }
    bench.host.make_stubborn("d");
    let mut wanted = Wanted::default();
    let requests = &bench.node.services;
    // Nothing happens at the same instant here: what is asked of a service that nobody defines yet is refused.
    let settle = || sleep(Duration::from_millis(1));
    for step in steps {
        match step {
            Step::Want(name, argument, needs, after, valid) => {
                let spec = spec(name, argument, needs, after, valid);
                bench.want(spec.clone());
                if valid {
                    wanted.specs.insert(name, spec);
                }
                wanted.valid.insert(name, valid);
            }
            Step::Remove(name) => {
                bench.remove(NAMES[name]);
                wanted.specs.remove(&name);
                wanted.valid.remove(&name);
                // A request lives as long as its service, which may come back before it is forgotten.
                sleep(SETTLED).await;
                wanted.stopped.remove(&name);
            }
            Step::Crash(name, code) => bench.host.end(NAMES[name], Exit::Code(code)),
            Step::Start(name) | Step::Restart(name) => {
                let asked = match step {
                    Step::Start(_) => requests.start(NAMES[name]),
                    _ => requests.restart(NAMES[name]),
                };
                assert_eq!(asked.is_ok(), wanted.valid.contains_key(&name));
                wanted.stopped.insert(name, false);
            }
            Step::Stop(name) => {
                if requests.stop(NAMES[name]).is_ok() {
                    wanted.stopped.insert(name, true);
                }
            }
            Step::Panic(name) => bench.host.panic_at_next_end(NAMES[name]),
            Step::Wait(ms) => sleep(Duration::from_millis(ms)).await,
        }
        settle().await;
    }
    sleep(SETTLED).await;
    assert_eq!(
        bench.host.doubled(),
        [""; 0],
        "two processes of a service at once"
    );
    for (index, name) in NAMES.iter().enumerate() {
        let runs = wanted.runs(index);
        let program = bench.host.program(name);
        assert_eq!(program.is_some(), runs, "{name}: {:?}", bench.status(name));
        if let Some(program) = program {
            let spec = &wanted.specs[&index];
            assert_eq!(program.arguments, spec.service.command[1..], "{name}");
        }
        let status = bench.status(name);
        assert_eq!(
            status.is_some(),
            wanted.valid.contains_key(&index),
            "{name}: {status:?}"
        );
        if let Some(status) = status.filter(|_| runs) {
            assert_eq!(status.state, ServiceState::Running);
            assert_eq!(status.is_as_wanted(), wanted.valid[&index], "{name}: {status:?}");
        }
    }
    assert!(bench.host.program("image").is_some(), "others are not disturbed");
    assert_eq!(bench.status("image").unwrap().restarts, 0);
    assert_eq!(bench.supervisor.stop_all(SETTLED).await, [""; 0]);
    let left: Vec<&str> = NAMES
        .into_iter()
        .filter(|name| bench.host.program(name).is_some())
        .collect();
    assert_eq!(left, [""; 0]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    /// Plays any sequence of specs, crashes and requests.
    #[test]
    fn the_last_specs_decide_and_no_service_has_two_processes(steps in proptest::collection::vec(step(), 0..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(play(steps));
    }
}
