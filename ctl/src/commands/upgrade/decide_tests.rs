//! Every state of a node has its decision.

use api::v1alpha1::{Phase, UpgradeMode, UpgradeTrial};
use proptest::prelude::*;

use super::*;

const URL: &str = "https://releases.example/x.bundle";

fn goal() -> Goal {
    Goal {
        version: "0.2.0".into(),
        manifest: "22".repeat(32),
    }
}

/// Returns a healthy, idle node that runs the old release.
fn old() -> NodeState {
    NodeState {
        version: "0.1.0".into(),
        manifest: "11".repeat(32),
        boot_id: "first".into(),
        uptime_ms: 1_000_000,
        phase: Phase::Running,
        status: status(UpgradeStage::Idle),
        ..NodeState::default()
    }
}

/// Returns the same node after its reboot into the new release.
fn new(trial: TrialPhase) -> NodeState {
    NodeState {
        version: "0.2.0".into(),
        manifest: "22".repeat(32),
        boot_id: "second".into(),
        uptime_ms: 5000,
        status: UpgradeStatus {
            trial: Some(UpgradeTrial {
                phase: trial.into(),
                ..UpgradeTrial::default()
            }),
            ..UpgradeStatus::default()
        },
        ..old()
    }
}

fn status(stage: UpgradeStage) -> UpgradeStatus {
    UpgradeStatus {
        id: "u1".into(),
        stage: stage.into(),
        source: URL.into(),
        mode: UpgradeMode::Now.into(),
        ..UpgradeStatus::default()
    }
}

fn unhealthy(seen: NodeState) -> NodeState {
    NodeState {
        unhealthy: Some("time: not in step".into()),
        ..seen
    }
}

fn started() -> Started {
    Started {
        id: "u1".into(),
        boot_id: "first".into(),
    }
}

fn with(stage: UpgradeStage) -> NodeState {
    NodeState {
        status: status(stage),
        ..old()
    }
}

#[test]
fn each_node_is_begun_with_as_it_is() {
    let stopping = |seen: NodeState| NodeState {
        phase: Phase::Stopping,
        ..seen
    };
    let cases = [
        ("another release", old(), "start"),
        ("unhealthy: the node itself decides", unhealthy(old()), "start"),
        ("an earlier failure", with(UpgradeStage::Failed), "start"),
        ("runs it", new(TrialPhase::None), "already"),
        ("kept it", new(TrialPhase::Committed), "already"),
        (
            "kept it, unhealthy",
            unhealthy(new(TrialPhase::Committed)),
            "await",
        ),
        ("on trial", new(TrialPhase::Waiting), "await"),
        ("on trial, healthy", new(TrialPhase::Holding), "await"),
        ("abandoned", new(TrialPhase::GivenUp), "refuse"),
        ("stopping", stopping(old()), "refuse"),
        (
            "stopping, runs it",
            stopping(new(TrialPhase::Committed)),
            "refuse",
        ),
        ("fetching the same", with(UpgradeStage::Fetching), "follow"),
        (
            "restarting into it",
            stopping(with(UpgradeStage::Rebooting)),
            "follow",
        ),
    ];
    for (what, seen, expected) in cases {
        let found = match first_step(&goal(), URL, &seen) {
            FirstStep::Already => "already",
            FirstStep::Await => "await",
            FirstStep::Follow(id) => {
                assert_eq!(id, "u1");
                "follow"
            }
            FirstStep::Start => "start",
            FirstStep::Refuse(_) => "refuse",
        };
        assert_eq!(found, expected, "{what}");
    }
    let fetching = with(UpgradeStage::Fetching);
    let other = first_step(&goal(), "https://elsewhere.example/x", &fetching);
    assert!(matches!(other, FirstStep::Refuse(_)), "{other:?}");
    let pushed = NodeState {
        status: UpgradeStatus {
            source: "pushed".into(),
            ..fetching.status
        },
        ..old()
    };
    let pushed = first_step(&goal(), "pushed", &pushed);
    assert!(
        matches!(pushed, FirstStep::Refuse(_)),
        "another client pushes: {pushed:?}"
    );
}

#[test]
fn the_same_version_built_anew_is_another_release() {
    let rebuilt = NodeState {
        version: "0.2.0".into(),
        ..old()
    };
    assert_eq!(first_step(&goal(), URL, &rebuilt), FirstStep::Start);
    let unknown = Goal {
        manifest: String::new(),
        ..goal()
    };
    assert_eq!(first_step(&unknown, URL, &rebuilt), FirstStep::Already);
    assert_eq!(first_step(&Goal::default(), URL, &rebuilt), FirstStep::Start);
}

#[test]
fn each_state_has_its_verdict() {
    let restarted = |outcome: UpgradeOutcome, uptime_ms| NodeState {
        boot_id: "second".into(),
        uptime_ms,
        status: UpgradeStatus::default(),
        records: vec![UpgradeRecord {
            id: "u1".into(),
            outcome: outcome.into(),
            cause: "it did not become healthy".into(),
            ..UpgradeRecord::default()
        }],
        ..old()
    };
    let staged = NodeState {
        status: UpgradeStatus {
            mode: UpgradeMode::Staged.into(),
            ..status(UpgradeStage::Armed)
        },
        ..old()
    };
    let taken = NodeState {
        status: UpgradeStatus {
            id: "u2".into(),
            ..status(UpgradeStage::Fetching)
        },
        ..old()
    };
    let forgotten = |uptime_ms| NodeState {
        records: Vec::new(),
        ..restarted(UpgradeOutcome::Unspecified, uptime_ms)
    };
    let resumed = |stage| NodeState {
        boot_id: "second".into(),
        uptime_ms: 500_000,
        ..with(stage)
    };
    use UpgradeOutcome as O;
    use UpgradeStage as S;
    let cases = [
        ("fetching", with(S::Fetching), "waiting"),
        ("armed, about to restart", with(S::Armed), "waiting"),
        ("restarting", with(S::Rebooting), "waiting"),
        ("failed", with(S::Failed), "failed"),
        ("cancelled", with(S::Idle), "failed"),
        ("armed for the next reboot", staged, "armed"),
        ("waiting for its window", with(S::Waiting), "window"),
        ("another took its place", taken, "failed"),
        ("started again after a power cut", resumed(S::Fetching), "waiting"),
        ("armed after a power cut", resumed(S::Armed), "waiting"),
        ("failed after a power cut", resumed(S::Failed), "failed"),
        ("on trial", new(TrialPhase::Waiting), "waiting"),
        ("on trial, healthy", new(TrialPhase::Holding), "waiting"),
        ("giving up", new(TrialPhase::GivenUp), "waiting"),
        (
            "kept, unhealthy",
            unhealthy(new(TrialPhase::Committed)),
            "waiting",
        ),
        ("kept", new(TrialPhase::Committed), "upgraded"),
        ("kept long ago", new(TrialPhase::None), "upgraded"),
        ("fell back", restarted(O::FellBack, 5000), "failed"),
        (
            "fell back, no report yet",
            restarted(O::Unspecified, 5000),
            "waiting",
        ),
        ("an open report", restarted(O::Unspecified, 500_000), "waiting"),
        ("fell back, nothing known yet", forgotten(5000), "waiting"),
        ("fell back, nothing known", forgotten(100_000), "failed"),
        ("rolled back", restarted(O::RolledBack, 5000), "failed"),
        ("kept, says the node", restarted(O::Committed, 5000), "upgraded"),
    ];
    for (what, now, expected) in cases {
        let found = match judge(&goal(), &started(), &now) {
            Verdict::Waiting(_) => "waiting",
            Verdict::Upgraded => "upgraded",
            Verdict::Armed => "armed",
            Verdict::Window => "window",
            Verdict::Failed(text, record) => {
                assert!(!text.is_empty());
                assert_eq!(
                    record.is_some(),
                    what == "fell back" || what == "rolled back",
                    "{what}"
                );
                "failed"
            }
        };
        assert_eq!(found, expected, "{what}");
    }
}

#[test]
fn what_is_only_awaited_must_stay_what_it_is() {
    let awaited = Started {
        id: String::new(),
        boot_id: "first".into(),
    };
    let verdict = judge(&goal(), &awaited, &old());
    assert!(matches!(verdict, Verdict::Failed(..)), "{verdict:?}");
}

proptest! {
    /// Checks that a node counts as upgraded only when it runs the release, is healthy and not on trial.
    #[test]
    fn success_means_all_of_it(
        stage in 0..10_i32,
        trial in 0..6_i32,
        runs in any::<bool>(),
        healthy in any::<bool>(),
        restarted in any::<bool>(),
        uptime_ms in 0..200_000_u64,
    ) {
        let mut seen = if runs { new(TrialPhase::None) } else { old() };
        seen.status = UpgradeStatus {
            stage,
            trial: Some(UpgradeTrial { phase: trial, ..UpgradeTrial::default() }),
            ..status(UpgradeStage::Idle)
        };
        seen.uptime_ms = uptime_ms;
        seen.boot_id = if restarted { "second" } else { "first" }.into();
        if !healthy {
            seen = unhealthy(seen);
        }
        let on_trial = [TrialPhase::Waiting, TrialPhase::Holding, TrialPhase::GivenUp];
        let fine = runs && healthy && !on_trial.contains(&super::trial(&seen.status));
        prop_assert_eq!(judge(&goal(), &started(), &seen) == Verdict::Upgraded, fine);
        if first_step(&goal(), URL, &seen) == FirstStep::Already {
            prop_assert!(fine);
        }
    }
}
