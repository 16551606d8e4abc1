//! How a node that sees only itself follows a rollout.
#![expect(clippy::unwrap_used, reason = "a test may unwrap")]

use proptest::prelude::*;
use rollout::{Bundle, Done, Follow, Moment, NodeState, PreviousAttempt, Rollout, Wait, follow};

const BEGINS: Moment = Moment::from_unix(1_795_420_800);
const PAUSE: u64 = 3600;

fn sample() -> Rollout {
    let bundle = Bundle {
        url: "https://releases.example/x".into(),
        manifest: "ab".repeat(32).parse().unwrap(),
        version: "0.2.0".parse().unwrap(),
        board: "rpi4".into(),
    };
    Rollout {
        pause_seconds: PAUSE,
        begins: Some(BEGINS),
        ..Rollout::new("r", bundle, "seed")
    }
}

fn stopped() -> Rollout {
    Rollout {
        serial: 2,
        stopped: true,
        reason: "batch 7".into(),
        ..sample()
    }
}

/// A node in wave 4 of 7, by its position 3247, long after the last wave opened.
fn node() -> NodeState<'static> {
    NodeState {
        name: "node1",
        board: "rpi4",
        version: "0.1.0".parse().unwrap(),
        manifest: "cd".repeat(32).parse().unwrap(),
        on_trial: false,
        clock: Some(BEGINS.after(100 * PAUSE)),
        before: PreviousAttempt::Never,
    }
}

fn wait(why: Wait) -> Follow {
    Follow::Wait { until: None, why }
}

#[test]
fn each_state_has_its_decision() {
    let opens = BEGINS.after(3 * PAUSE);
    let before_its_wave = Some(Moment::from_unix(opens.unix() - 1));
    let driven = Rollout {
        begins: None,
        ..sample()
    };
    let runs = sample().bundle.manifest;
    let over = || PreviousAttempt::Over("it fell back".into());
    let again = BEGINS.after(200 * PAUSE);
    let with = |edit: &dyn Fn(&mut NodeState<'static>)| {
        let mut changed = node();
        edit(&mut changed);
        changed
    };
    let cases = [
        ("its turn has come", sample(), node(), Follow::Begin),
        (
            "its wave is shut",
            sample(),
            with(&|node| node.clock = before_its_wave),
            Follow::Wait {
                until: Some(opens),
                why: Wait::Wave(3),
            },
        ),
        (
            "its wave opens now",
            sample(),
            with(&|node| node.clock = Some(opens)),
            Follow::Begin,
        ),
        (
            "nobody knows the time",
            sample(),
            with(&|node| node.clock = None),
            wait(Wait::Clock),
        ),
        ("a client drives it", driven, node(), wait(Wait::Client)),
        (
            "stopped",
            stopped(),
            node(),
            wait(Wait::Stopped("batch 7".into())),
        ),
        (
            "stopped, and its wave is shut",
            stopped(),
            with(&|node| node.clock = before_its_wave),
            wait(Wait::Stopped("batch 7".into())),
        ),
        (
            "stopped, too late",
            stopped(),
            with(&|node| node.manifest = runs),
            Follow::Done(Done::Runs),
        ),
        (
            "another board",
            sample(),
            with(&|node| node.board = "rpi3"),
            Follow::Done(Done::Board("rpi4".into())),
        ),
        (
            "it runs",
            sample(),
            with(&|node| node.manifest = runs),
            Follow::Done(Done::Runs),
        ),
        (
            "it runs on trial",
            sample(),
            with(&|node| (node.manifest, node.on_trial) = (runs, true)),
            wait(Wait::Trial),
        ),
        (
            "another runs on trial",
            sample(),
            with(&|node| node.on_trial = true),
            wait(Wait::Trial),
        ),
        (
            "a newer one runs",
            sample(),
            with(&|node| node.version = "0.2.1".parse().unwrap()),
            Follow::Done(Done::Newer("0.2.1".parse().unwrap())),
        ),
        (
            "it was tried",
            sample(),
            with(&|node| node.before = over()),
            Follow::Done(Done::Over("it fell back".into())),
        ),
        (
            "it was tried, and is stopped",
            stopped(),
            with(&|node| node.before = over()),
            Follow::Done(Done::Over("it fell back".into())),
        ),
        (
            "on the way",
            sample(),
            with(&|node| node.before = PreviousAttempt::Underway),
            wait(Wait::Underway),
        ),
        (
            "failed just now",
            sample(),
            with(&|node| node.before = PreviousAttempt::Failed(again)),
            Follow::Wait {
                until: Some(again),
                why: Wait::Retry,
            },
        ),
        (
            "failed a while ago",
            sample(),
            with(&|node| node.before = PreviousAttempt::Failed(BEGINS)),
            Follow::Begin,
        ),
        (
            "failed before the stop",
            stopped(),
            with(&|node| node.before = PreviousAttempt::Failed(BEGINS)),
            wait(Wait::Stopped("batch 7".into())),
        ),
    ];
    for (what, rollout, node, expected) in cases {
        assert_eq!(follow(&rollout, &node), expected, "{what}");
    }
}

#[test]
fn the_begin_time_is_part_of_the_document_and_may_be_postponed() {
    let text = sample().to_text().unwrap();
    assert!(text.contains("\"begins\": \"2026-11-23T08:00:00Z\""), "{text}");
    assert_eq!(Rollout::parse_unverified(text.as_bytes()).unwrap(), sample());
    for wrong in ["2026-11-23", "2026-11-23T09:00:00+01:00", "soon"] {
        let spoilt = text.replace("2026-11-23T08:00:00Z", wrong);
        assert!(Rollout::parse_unverified(spoilt.as_bytes()).is_err(), "{wrong}");
    }
    let later = Rollout {
        serial: 2,
        begins: Some(BEGINS.after(86_400)),
        ..sample()
    };
    assert_eq!(later.follows(&sample()), Ok(()));
    assert!(
        sample().follows(&later).is_err(),
        "an older one brings no older time back"
    );
    let driven = Rollout {
        begins: None,
        ..sample()
    };
    assert!(!driven.to_text().unwrap().contains("begins"));
}

#[test]
fn from_its_end_on_no_node_starts() {
    let (last, ends) = (BEGINS.after(6 * PAUSE), BEGINS.after(8 * PAUSE));
    let bounded = Rollout {
        ends: Some(ends),
        ..sample()
    };
    let text = bounded.to_text().unwrap();
    assert_eq!(Rollout::parse_unverified(text.as_bytes()).unwrap(), bounded);
    let at = |clock| {
        let node = NodeState { clock, ..node() };
        follow(&bounded, &node)
    };
    assert_eq!(at(Some(Moment::from_unix(ends.unix() - 1))), Follow::Begin);
    assert_eq!(at(Some(ends)), wait(Wait::Ended(ends)));
    assert_eq!(at(None), wait(Wait::Clock));

    // The last wave has time to start, and a newer version may have another end, or none.
    let with = |ends| Rollout {
        serial: 2,
        ends,
        ..sample()
    };
    assert!(
        with(Some(last))
            .to_text()
            .unwrap_err()
            .to_string()
            .contains("ends")
    );
    assert!(with(Some(last.after(1))).to_text().is_ok());
    for ends in [None, Some(ends.after(1))] {
        assert_eq!(with(ends).follows(&bounded), Ok(()));
    }
}

fn befores() -> impl Strategy<Value = PreviousAttempt> {
    prop_oneof![
        Just(PreviousAttempt::Never),
        Just(PreviousAttempt::Underway),
        (0..4_000_000_000_u64).prop_map(|at| PreviousAttempt::Failed(Moment::from_unix(at))),
        Just(PreviousAttempt::Over("it fell back".into())),
    ]
}

prop_compose! {
    fn standings()(
        ours: bool, runs: bool, older: bool, on_trial: bool,
        clock in proptest::option::of(1_795_000_000..1_797_000_000_u64),
        before in befores(),
    ) -> NodeState<'static> {
        NodeState {
            board: if ours { "rpi4" } else { "rpi3" },
            manifest: if runs { sample().bundle.manifest } else { node().manifest },
            version: if older { "0.1.0" } else { "0.3.0" }.parse().unwrap(),
            on_trial,
            clock: clock.map(Moment::from_unix),
            before,
            ..node()
        }
    }
}

proptest! {
    #[test]
    fn a_stop_holds_every_node(standing in standings(), name in "[a-z0-9-]{1,20}") {
        prop_assert_ne!(follow(&stopped(), &NodeState { name: &name, ..standing }), Follow::Begin);
    }

    #[test]
    fn a_node_starts_only_when_everything_allows_it(
        standing in standings(), name in "[a-z0-9-]{1,20}", driven: bool,
        ends in proptest::option::of(1_795_000_000..1_797_000_000_u64),
    ) {
        let rollout = Rollout {
            begins: sample().begins.filter(|_| !driven),
            ends: ends.map(Moment::from_unix),
            ..sample()
        };
        let standing = NodeState { name: &name, ..standing };
        if follow(&rollout, &standing) == Follow::Begin {
            let opens = rollout.opens(rollout.wave(&name)).unwrap();
            prop_assert!(standing.clock.unwrap() >= opens);
            prop_assert!(rollout.ends.is_none_or(|ends| standing.clock.unwrap() < ends));
            prop_assert!(standing.board == "rpi4" && !standing.on_trial);
            prop_assert!(standing.manifest != rollout.bundle.manifest && standing.version <= rollout.bundle.version);
            prop_assert!(matches!(standing.before, PreviousAttempt::Never | PreviousAttempt::Failed(_)));
        }
    }

    /// Once open, a wave stays open; lower positions open no later; and at the end all are open.
    #[test]
    fn all_waves_open_one_after_the_other(
        names in prop::collection::vec("[a-z0-9-]{1,20}", 1..40),
        pause_seconds in 0..100_000_u64,
        times in prop::collection::vec(0..1_000_000_u64, 1..10),
    ) {
        let rollout = Rollout { pause_seconds, ..sample() };
        let begin_at = |name: &str, now: Moment| {
            follow(&rollout, &NodeState { name, clock: Some(now), ..node() }) == Follow::Begin
        };
        let mut times = times;
        times.sort_unstable();
        let mut open = 0;
        for now in times.into_iter().map(|seconds| BEGINS.after(seconds)) {
            let begun: Vec<bool> = names.iter().map(|name| begin_at(name, now)).collect();
            for (one, name) in begun.iter().zip(&names) {
                for (other, earlier) in begun.iter().zip(&names) {
                    let before = rollout::position("seed", earlier) <= rollout::position("seed", name);
                    prop_assert!(!(*one && before) || *other, "{earlier} comes before {name}");
                }
            }
            let count = begun.into_iter().filter(|begun| *begun).count();
            prop_assert!(count >= open);
            open = count;
        }
        let last = rollout.opens(rollout.waves.len() - 1).unwrap();
        prop_assert!(names.iter().all(|name| begin_at(name, last)));
        let early = Moment::from_unix(BEGINS.unix() - 1);
        prop_assert!(!names.iter().any(|name| begin_at(name, early)));
    }
}
