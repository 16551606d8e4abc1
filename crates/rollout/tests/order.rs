//! The order of nodes: positions, waves, and simulated runs.
#![expect(clippy::unwrap_used, reason = "a test may unwrap")]

use proptest::prelude::*;
use rollout::{Bundle, DEFAULT_WAVES, Halt, Member, Next, POSITIONS, Rollout, Turn, next, position};

fn sample() -> Rollout {
    let bundle = Bundle {
        url: "https://releases.example/x".into(),
        manifest: "ab".repeat(32).parse().unwrap(),
        version: "0.2.0".parse().unwrap(),
        board: "rpi4".into(),
    };
    Rollout::new("r", bundle, "seed")
}

#[test]
fn positions_are_stable() {
    // Computed by another program: `printf seednode1 | sha256sum`, its first 16 digits modulo 10000.
    for (node, expected) in [("node1", 3247), ("node2", 4379), ("node3", 6545)] {
        assert_eq!(position("seed", node), expected, "{node}");
    }
    assert_ne!(position("another seed", "node1"), position("seed", "node1"));
}

#[test]
fn waves_get_their_share_of_a_large_fleet() {
    let rollout = sample();
    let mut counts = [0_usize; DEFAULT_WAVES.len()];
    for number in 0..20_000 {
        counts[rollout.wave(&format!("node-{number}"))] += 1;
    }
    let mut reached = 0;
    for (count, percent) in counts.into_iter().zip(DEFAULT_WAVES) {
        reached += count;
        let expected = 20_000 * usize::from(percent) / 100;
        assert!(
            reached.abs_diff(expected) <= 200,
            "{percent} %: {reached} nodes, expected about {expected}"
        );
    }
    assert_eq!(reached, 20_000);
}

fn member(wave: usize, turn: Turn) -> Member {
    Member { wave, turn }
}

#[test]
fn each_state_of_a_fleet_has_its_next_step() {
    use Turn::{Already, Failed, Pending, Running, Upgraded};
    let careful = Rollout {
        pause_seconds: 60,
        ..sample()
    };
    let bearing = Rollout {
        max_failure_percent: 50,
        ..sample()
    };
    let stopped = Rollout {
        stopped: true,
        reason: "why".into(),
        ..sample()
    };
    let failures = |wave, failed, of| Next::Halt(Halt::Failures { wave, failed, of });
    type Case<'a> = (&'a str, &'a Rollout, &'a [(usize, Turn)], Option<usize>, Next);
    let plain = sample();
    let cases: &[Case<'_>] = &[
        ("nobody", &plain, &[], None, Next::End),
        (
            "empty waves are passed over",
            &plain,
            &[(3, Pending)],
            None,
            Next::Begin(0),
        ),
        (
            "the lowest wave first",
            &plain,
            &[(2, Pending), (1, Pending)],
            None,
            Next::Begin(1),
        ),
        (
            "one at a time",
            &plain,
            &[(1, Running), (1, Pending)],
            None,
            Next::Wait,
        ),
        (
            "the wave before must end",
            &plain,
            &[(1, Running), (2, Pending)],
            None,
            Next::Wait,
        ),
        (
            "then the next",
            &plain,
            &[(1, Upgraded), (2, Pending)],
            None,
            Next::Begin(1),
        ),
        (
            "after the pause",
            &careful,
            &[(1, Upgraded), (2, Pending)],
            None,
            Next::Pause(2),
        ),
        (
            "which passed",
            &careful,
            &[(1, Upgraded), (2, Pending)],
            Some(2),
            Next::Begin(1),
        ),
        (
            "nothing to see",
            &careful,
            &[(1, Already), (2, Pending)],
            None,
            Next::Begin(1),
        ),
        (
            "no pause within",
            &careful,
            &[(1, Upgraded), (2, Upgraded), (2, Pending)],
            Some(1),
            Next::Begin(2),
        ),
        (
            "too many",
            &plain,
            &[(0, Upgraded), (0, Failed), (1, Pending)],
            None,
            failures(0, 1, 2),
        ),
        (
            "at once, not at the end of the wave",
            &plain,
            &[(0, Failed), (0, Pending)],
            None,
            failures(0, 1, 2),
        ),
        (
            "those that run are waited for",
            &plain,
            &[(0, Failed), (0, Running), (1, Pending)],
            None,
            Next::Wait,
        ),
        (
            "half is tolerated",
            &bearing,
            &[(0, Upgraded), (0, Failed), (1, Pending)],
            None,
            Next::Begin(2),
        ),
        (
            "more is not",
            &bearing,
            &[(0, Failed), (0, Failed), (0, Upgraded), (1, Pending)],
            None,
            failures(0, 2, 3),
        ),
        ("too late to halt", &plain, &[(0, Failed)], None, Next::End),
        (
            "stopped",
            &stopped,
            &[(0, Pending)],
            None,
            Next::Halt(Halt::Stopped("why".into())),
        ),
        (
            "stopped, one runs",
            &stopped,
            &[(0, Running), (0, Pending)],
            None,
            Next::Wait,
        ),
        ("stopped, too late", &stopped, &[(0, Upgraded)], None, Next::End),
    ];
    for (what, rollout, members, paused, expected) in cases {
        let members: Vec<Member> = members.iter().map(|(wave, turn)| member(*wave, *turn)).collect();
        assert_eq!(next(rollout, &members, 1, *paused), *expected, "{what}");
    }
}

proptest! {
    #[test]
    fn every_node_has_one_position_in_every_rollout(seed in "[a-z]{1,20}", node in "\\PC{0,40}") {
        let rollout = Rollout { seed, ..sample() };
        let place = position(&rollout.seed, &node);
        prop_assert!(place < POSITIONS);
        let wave = rollout.wave(&node);
        let reaches = |wave: usize| u32::from(rollout.waves[wave]) * 100;
        prop_assert!(u32::from(place) < reaches(wave));
        prop_assert!(wave == 0 || u32::from(place) >= reaches(wave - 1));
    }

    /// Simulates whole runs, with random failures, stops and orders of completion.
    #[test]
    fn no_run_breaks_a_rule(
        nodes in prop::collection::vec((0..5_usize, prop::bool::weighted(0.8)), 0..25),
        parallel in 1..6_usize,
        max_failure_percent in prop::sample::select(vec![0_u8, 10, 34, 50, 100]),
        pause_seconds in 0..2_u64,
        stop_after in 0..40_usize,
        ends in prop::collection::vec(any::<prop::sample::Index>(), 25),
    ) {
        let mut rollout = Rollout { max_failure_percent, pause_seconds, ..sample() };
        let mut members: Vec<Member> = nodes.iter().map(|(wave, _)| member(*wave, Turn::Pending)).collect();
        let (mut ends, mut paused, mut steps) = (ends.into_iter(), None, 0);
        let failed = |members: &[Member], wave: usize| {
            let here = members.iter().filter(|member| member.wave == wave);
            let (of, failed) = here.fold((0, 0), |(of, failed), member| {
                (of + 1, failed + usize::from(member.turn == Turn::Failed))
            });
            failed * 100 > usize::from(max_failure_percent) * of
        };
        let last = loop {
            steps += 1;
            if steps > stop_after {
                rollout.stopped = true;
                rollout.reason = "seen enough".into();
            }
            match next(&rollout, &members, parallel, paused) {
                Next::Begin(node) => {
                    let wave = members[node].wave;
                    prop_assert_eq!(members[node].turn, Turn::Pending);
                    prop_assert!(!rollout.stopped, "a stop is honoured");
                    for other in &members {
                        let open = matches!(other.turn, Turn::Pending | Turn::Running);
                        prop_assert!(other.wave >= wave || !open, "waves do not overlap");
                    }
                    prop_assert!((0..=wave).all(|wave| !failed(&members, wave)), "started after too many failures");
                    members[node].turn = Turn::Running;
                    let running = members.iter().filter(|member| member.turn == Turn::Running).count();
                    prop_assert!(running <= parallel);
                }
                Next::Wait => {
                    let running: Vec<usize> =
                        (0..members.len()).filter(|node| members[*node].turn == Turn::Running).collect();
                    prop_assert!(!running.is_empty(), "nothing to wait for");
                    let node = *ends.next().unwrap().get(&running);
                    members[node].turn = if nodes[node].1 { Turn::Upgraded } else { Turn::Failed };
                }
                Next::Pause(wave) => {
                    prop_assert!(pause_seconds > 0 && paused.is_none_or(|paused| paused < wave));
                    paused = Some(wave);
                }
                last @ (Next::Halt(_) | Next::End) => break last,
            }
        };
        prop_assert!(members.iter().all(|member| member.turn != Turn::Running));
        let pending = members.iter().any(|member| member.turn == Turn::Pending);
        prop_assert_eq!(pending, matches!(last, Next::Halt(_)), "nodes that are left out have a reason");
    }
}
