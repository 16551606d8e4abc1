//! Rollouts by the real program, to fake nodes behind the real API server.
#![expect(clippy::unwrap_used, reason = "a test may unwrap")]

mod program;

use std::time::Duration;

use bundle::Header;
use program::Home;
use program::cluster::{Cluster, cluster};
use rollout::{Bundle, Rollout};
use server::testing::{Fate, NEW, OLD};
use signing::{Protection, create};

const URL: &str = "https://releases.example/qemu.bundle";
/// A manifest with all it must have.
const MANIFEST: &[u8] = include_bytes!("../../crates/manifest/tests/golden/manifest.json");

/// Describes what every fake bundle brings.
fn document(waves: &[u8]) -> Rollout {
    let bundle = Bundle {
        url: URL.into(),
        manifest: "11".repeat(32).parse().unwrap(),
        version: NEW.parse().unwrap(),
        board: "qemu-arm64".into(),
    };
    Rollout {
        waves: waves.to_vec(),
        ..Rollout::new("qemu-0.2.0", bundle, "seed")
    }
}

fn keys(home: &Home) {
    create(&home.path("."), "fleet", Protection::None).unwrap();
    create(&home.path("."), "stranger", Protection::None).unwrap();
}

fn publish(home: &Home, rollout: &Rollout) {
    home.write("fleet.json", &rollout.to_text().unwrap());
    home.run(&["rollout", "sign", "fleet.json", "--key", "fleet.key"])
        .success();
}

const RUN: [&str; 5] = ["rollout", "run", "fleet.json", "--key", "fleet.pub"];

fn versions(lab: &Cluster) -> Vec<String> {
    lab.nodes
        .iter()
        .map(|node| node.node.upgrades.version())
        .collect()
}

#[test]
fn a_document_is_made_signed_checked_and_stopped() {
    let home = Home::new();
    keys(&home);
    let header = Header::for_lengths(u64::try_from(MANIFEST.len()).unwrap(), 0, 0).unwrap();
    let mut bundle = header.encode().to_vec();
    bundle.extend_from_slice(MANIFEST);
    bundle.resize(usize::try_from(bundle::INDEX_AT).unwrap(), 0);
    std::fs::write(home.path("x.bundle"), bundle).unwrap();
    let new = [
        "rollout",
        "new",
        "rpi3-0.1.0",
        "--url",
        URL,
        "--bundle",
        "x.bundle",
        "--waves",
        "10,100",
        "--pause",
        "2h",
        "--max-failures",
        "5",
        "--begins",
        "2026-11-23T08:00:00Z",
        "--ends",
        "2120-01-01T00:00:00Z",
    ];
    home.run(&new).success();
    home.run(&new).failure();
    let made = Rollout::parse_unverified(home.read("rollout.json").as_bytes()).unwrap();
    assert_eq!(made.bundle.manifest, manifest::Digest::of(MANIFEST));
    assert_eq!(
        (made.serial, made.pause_seconds, made.seed.as_str()),
        (1, 7200, "rpi3-0.1.0")
    );

    let verify = |key: &str| home.run(&["rollout", "verify", "rollout.json", "--key", key]);
    assert!(verify("fleet.pub").failure().err.contains("rollout.json.minisig"));
    home.run(&["rollout", "sign", "rollout.json", "--key", "fleet.key"])
        .success();
    let shown = verify("fleet.pub").success().out;
    assert!(
        shown.contains("active") && shown.contains("10, 100 %, 2h between"),
        "{shown}"
    );
    for opens in [
        "2026-11-23T08:00:00Z, wave 1 up to 10 %",
        "2026-11-23T10:00:00Z, wave 2 up to 100 %",
        "Ends:     2120-01-01T00:00:00Z",
    ] {
        assert!(shown.contains(opens), "{shown}");
    }
    assert!(
        verify("stranger.pub")
            .failure()
            .err
            .contains("signed by no trusted key")
    );
    home.write(
        "rollout.json",
        &home
            .read("rollout.json")
            .replace("\"serial\": 1", "\"serial\": 7"),
    );
    assert!(verify("fleet.pub").failure().err.contains("does not match"));

    let stop = [
        "rollout",
        "stop",
        "rollout.json",
        "--reason",
        "batch 7",
        "--key",
        "fleet.key",
    ];
    home.run(&stop).success();
    let json = home
        .run(&[
            "rollout",
            "verify",
            "rollout.json",
            "--key",
            "fleet.pub",
            "-o",
            "json",
        ])
        .success()
        .json();
    assert_eq!(json["rollout"]["serial"], 8);
    assert_eq!(json["rollout"]["stopped"], true);
    assert_eq!(json["rollout"]["reason"], "batch 7");
    assert_eq!(json["opens"][1], "2026-11-23T10:00:00Z");
    for option in ["--begins", "--ends"] {
        for time in ["2026-11-23T09:00:00+01:00", "tomorrow"] {
            let new = ["rollout", "new", "a", "--url", URL, option, time];
            assert!(
                home.run(&new).usage().err.contains("expected UTC, to the second"),
                "{option} {time}"
            );
        }
    }
    // Its last wave would never open.
    let ended = ["--force", "--ends", "2026-11-23T10:00:00Z"];
    let early = [&new[..new.len() - 2], &ended].concat();
    let before = home.read("rollout.json");
    let refused = home.run(&early).failure().err;
    assert!(
        refused.contains("ends: must be after the time at which the last wave opens"),
        "{refused}"
    );
    assert_eq!(home.read("rollout.json"), before, "nothing is lost");
    let wrong = home.run(&[
        "rollout",
        "new",
        "Not A Name",
        "--url",
        URL,
        "--bundle",
        "x.bundle",
        "--force",
    ]);
    assert!(wrong.failure().err.contains("id: expected"));
}

#[test]
fn signing_warns_of_waves_that_are_already_open() {
    let home = Home::new();
    keys(&home);
    let sign = |begins: &str, edit: fn(&mut Rollout)| {
        let mut rollout = Rollout {
            begins: Some(begins.parse().unwrap()),
            pause_seconds: 60,
            ..document(&[1, 10, 100])
        };
        edit(&mut rollout);
        home.write("fleet.json", &rollout.to_text().unwrap());
        let signed = home.run(&["rollout", "sign", "fleet.json", "--key", "fleet.key"]);
        signed.success().err
    };
    let told = sign("2020-01-01T00:00:00Z", |_| {});
    assert!(told.contains("3 of 3 waves are already open"), "{told}");
    for quiet in [
        sign("2120-01-01T00:00:00Z", |_| {}),
        sign("2020-01-01T00:00:00Z", |rollout| rollout.waves = vec![100]),
        sign("2020-01-01T00:00:00Z", |rollout| {
            (rollout.stopped, rollout.reason) = (true, "why".into());
        }),
    ] {
        assert!(!quiet.contains("already open"), "{quiet}");
    }
    let told = sign("2020-01-01T00:00:00Z", |rollout| {
        rollout.ends = Some("2020-01-02T00:00:00Z".parse().unwrap());
    });
    assert!(told.contains("it ended at 2020-01-02T00:00:00Z"), "{told}");
    let shown = home.run(&["rollout", "verify", "fleet.json", "--key", "fleet.pub"]);
    let shown = shown.success().out;
    assert!(shown.contains("State:    ended"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_ended_begins_nothing() {
    let lab = cluster(&["node1"]).await;
    keys(&lab.home);
    let until = |serial, ends: &str| {
        let rollout = Rollout {
            serial,
            ends: Some(ends.parse().unwrap()),
            ..document(&[100])
        };
        publish(&lab.home, &rollout);
    };
    until(1, "2020-01-01T00:00:00Z");
    let ran = lab.run(&RUN).await.failure();
    assert!(ran.err.contains("it ended at 2020-01-01T00:00:00Z"), "{ran:#?}");
    assert_eq!(versions(&lab), [OLD]);
    until(2, "2120-01-01T00:00:00Z");
    lab.run(&RUN).await.success();
    assert_eq!(versions(&lab), [NEW]);
}

#[tokio::test(flavor = "multi_thread")]
async fn waves_go_by_and_a_failure_keeps_the_later_ones() {
    let names = ["node1", "node2", "node3", "node4", "node5"];
    let lab = cluster(&names).await;
    keys(&lab.home);
    let rollout = document(&[40, 100]);
    publish(&lab.home, &rollout);
    let first: Vec<usize> = (0..names.len())
        .filter(|node| rollout.wave(names[*node]) == 0)
        .collect();
    assert!(
        (1..names.len() - 1).contains(&first.len()),
        "the seed spreads them: {first:?}"
    );

    let plan = lab
        .run(&[&RUN[..], &["--plan", "-o", "json"]].concat())
        .await
        .success()
        .json();
    let waves: Vec<u64> = plan
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["wave"].as_u64().unwrap())
        .collect();
    assert!(waves.is_sorted() && waves.contains(&2), "{plan}");
    assert_eq!(versions(&lab), [OLD; 5], "a plan changes nothing");

    let bad = first[first.len() - 1];
    lab.nodes[bad].node.upgrades.set_fate(Fate::FallsBack);
    let ran = lab
        .run(&[&RUN[..], &["--parallel", "3"]].concat())
        .await
        .failure();
    assert!(
        ran.err.contains(&format!(
            "halted: 1 of the {} nodes of wave 1 failed",
            first.len()
        )),
        "{ran:#?}"
    );
    for (node, version) in versions(&lab).iter().enumerate() {
        let upgraded = first.contains(&node) && node != bad;
        assert_eq!(version, if upgraded { NEW } else { OLD }, "{}", names[node]);
    }

    lab.nodes[bad].node.upgrades.set_fate(Fate::Commits);
    let ran = lab
        .run(&[&RUN[..], &["--parallel", "3"]].concat())
        .await
        .success();
    assert_eq!(versions(&lab), [NEW; 5], "{ran:#?}");
    assert_eq!(ran.out.matches("already").count(), first.len() - 1, "{ran:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_is_honoured_before_the_next_node_and_ever_after() {
    let lab = cluster(&["node1", "node2"]).await;
    keys(&lab.home);
    publish(&lab.home, &document(&[100]));
    let before = (lab.home.read("fleet.json"), lab.home.read("fleet.json.minisig"));
    let upgrades: Vec<_> = lab.nodes.iter().map(|node| node.node.upgrades.clone()).collect();
    let stop = lab.home.command(&[
        "rollout",
        "stop",
        "fleet.json",
        "--reason",
        "it smokes",
        "--key",
        "fleet.key",
    ]);
    let stopping = tokio::spawn(async move {
        while upgrades.iter().all(|upgrades| upgrades.calls().is_empty()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut stop = stop;
        tokio::task::block_in_place(|| stop.output()).unwrap()
    });
    let ran = lab.run(&RUN).await.failure();
    assert!(stopping.await.unwrap().status.success());
    assert!(ran.err.contains("the rollout was stopped: it smokes"), "{ran:#?}");
    let new = versions(&lab).iter().filter(|version| *version == NEW).count();
    assert_eq!(new, 1, "the one that ran is seen to its end: {ran:#?}");

    // Whoever shows the old document again, signature and all, starts nothing.
    lab.home.write("fleet.json", &before.0);
    lab.home.write("fleet.json.minisig", &before.1);
    let ran = lab.run(&RUN).await.failure();
    assert!(ran.err.contains("serial 1 is older than 2"), "{ran:#?}");
    assert_eq!(versions(&lab).iter().filter(|version| *version == NEW).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_release_that_was_signed_and_only_its_board() {
    let lab = cluster(&["node1"]).await;
    keys(&lab.home);
    publish(&lab.home, &document(&[100]));
    // The server has another release by now.
    lab.nodes[0].node.upgrades.set_brought(&"22".repeat(32));
    let ran = lab.run(&RUN).await.failure();
    assert!(ran.err.contains("the upgrade was cancelled"), "{ran:#?}");
    assert_eq!(versions(&lab), [OLD]);
    let calls = lab.nodes[0].node.upgrades.calls();
    assert_eq!(calls.last().map(String::as_str), Some("cancel"));

    let mut other = document(&[100]);
    other.id = "other".into();
    other.bundle.board = "rpi4".into();
    publish(&lab.home, &other);
    let ran = lab.run(&RUN).await.success();
    assert!(
        ran.err.contains("is qemu-arm64, but the release is for rpi4"),
        "{ran:#?}"
    );

    let ran = lab
        .run(&["rollout", "run", "fleet.json", "--key", "stranger.pub"])
        .await
        .failure();
    assert!(ran.err.contains("signed by no trusted key"), "{ran:#?}");
}
