//! Upgrades by the real program, of fake nodes behind the real API server.
#![expect(clippy::unwrap_used, reason = "a test may unwrap")]

mod program;

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use bundle::Header;
use manifest::Digest;
use program::cluster::{Cluster, cluster, serving};
use server::testing::{Fate, NEW, OLD, TestServer};

const URL: &str = "https://releases.example/qemu.bundle";
/// A manifest with all it must have.
const MANIFEST: &[u8] = include_bytes!("../../crates/manifest/tests/golden/manifest.json");

/// Writes the head of a bundle and something behind it, and returns all of it.
fn bundle(lab: &Cluster) -> Vec<u8> {
    let length = u64::try_from(MANIFEST.len()).unwrap();
    let header = Header::for_lengths(length, 10, 0).unwrap();
    let mut file = header.encode().to_vec();
    for (at, text) in [
        (header.manifest.offset, MANIFEST),
        (header.signatures.offset, b"signature\n".as_slice()),
    ] {
        file.resize(usize::try_from(at).unwrap(), 0);
        file.extend_from_slice(text);
    }
    file.resize(usize::try_from(bundle::INDEX_AT).unwrap(), 0);
    file.extend((0..300_000_u32).flat_map(u32::to_le_bytes));
    std::fs::write(lab.home.path("qemu.bundle"), &file).unwrap();
    for server in &lab.nodes {
        server
            .node
            .upgrades
            .set_brought(&Digest::of(MANIFEST).to_string());
    }
    file
}

fn versions(lab: &Cluster) -> Vec<String> {
    lab.nodes
        .iter()
        .map(|node| node.node.upgrades.version())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_changes_nothing_and_says_all() {
    let lab = cluster(&["node1"]).await;
    let plan = lab.run(&["upgrade", "--url", URL, "--plan"]).await.success();
    for said in [
        "0.1.0 to 0.2.0",
        "1000 B, 2.0 % of the bundle",
        "patches  1000 B (3)",
        "Why:",
    ] {
        assert!(plan.out.contains(said), "{said}: {}", plan.out);
    }
    let json = lab
        .run(&["upgrade", "--url", URL, "--plan", "-o", "json"])
        .await
        .success()
        .json();
    assert_eq!(json["fetches"][0]["kind"], "patches");
    assert_eq!(json["fetchBytes"], 1000);
    assert_eq!(versions(&lab), [OLD]);
    let calls = lab.nodes[0].node.upgrades.calls();
    assert!(
        calls.iter().all(|call| call.contains("plan_only=true")),
        "{calls:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn from_a_url_and_waited_for() {
    let lab = cluster(&["node1"]).await;
    let ran = lab
        .run(&["upgrade", "--url", URL, "--wait", "--rate-limit", "2MB/s"])
        .await
        .success();
    assert!(
        ran.out.contains("runs 0.2.0 and keeps it; it ran 0.1.0"),
        "{ran:#?}"
    );
    assert_eq!(
        lab.nodes[0].node.upgrades.calls(),
        [format!(
            "upgrade {URL} Now plan_only=false force=false rate_limit=2000000"
        )]
    );
    // Again: it only looks.
    let again = lab.run(&["upgrade", "--url", URL, "--wait"]).await.success();
    assert!(again.out.contains("0.2.0"), "{again:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_is_pushed_whole_and_not_twice() {
    let lab = cluster(&["node1"]).await;
    let file = bundle(&lab);
    let ran = lab
        .run(&["upgrade", "--bundle", "qemu.bundle", "--wait"])
        .await
        .success();
    assert!(ran.err.contains("qemu.bundle: version "), "{ran:#?}");
    assert!(
        lab.nodes[0].node.upgrades.received() == file,
        "every byte arrived"
    );
    let again = lab
        .run(&["upgrade", "--bundle", "qemu.bundle", "--wait"])
        .await
        .success();
    assert!(again.out.contains("already"), "{again:#?}");
    assert_eq!(lab.nodes[0].node.upgrades.calls().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_is_pushed_through_an_endpoint() {
    let mut lab = cluster(&["cp1"]).await;
    let trusted = serving(&lab.secrets, &["w1", "127.0.0.1"], SystemTime::now());
    lab.nodes.push(TestServer::start("w1", trusted).await.unwrap());
    lab.nodes[0].node.peers.add("w1", lab.nodes[1].address);
    let file = bundle(&lab);
    let endpoint = lab.nodes[0].address.to_string();
    let arguments = ["upgrade", "--bundle", "qemu.bundle", "--wait"];
    let arguments = [arguments.as_slice(), &["-e", &endpoint, "-n", "w1"]].concat();
    tokio::task::block_in_place(|| lab.home.run(&arguments)).success();
    assert!(
        lab.nodes[1].node.upgrades.received() == file,
        "every byte arrived"
    );
    assert_eq!(versions(&lab), [OLD, NEW]);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_files_are_sent_to_no_node() {
    let lab = cluster(&["node1"]).await;
    lab.home.write("image.iso", "not a bundle at all");
    let ran = lab.run(&["upgrade", "--bundle", "image.iso"]).await.failure();
    assert!(ran.err.contains("this is not a bundle"), "{ran:#?}");
    assert_eq!(lab.nodes[0].node.upgrades.calls(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fall_back_is_a_failure_with_its_cause() {
    let lab = cluster(&["node1"]).await;
    lab.nodes[0].node.upgrades.set_fate(Fate::FallsBack);
    let ran = lab.run(&["upgrade", "--url", URL, "--wait"]).await.failure();
    for said in [
        "fell back to the old system: not healthy in time: the clock is not in step with a server",
        "machined: giving up",
    ] {
        assert!(ran.err.contains(said), "{said}: {ran:#?}");
    }
    let history = lab.run(&["upgrade", "history"]).await.success().out;
    assert!(
        history.contains("fell-back") && !history.contains("giving up"),
        "{history}"
    );
    let log = lab.run(&["upgrade", "history", "--log"]).await.success().out;
    assert!(
        log.contains("machined: giving up") && log.contains("time unhealthy"),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn several_take_turns_and_stop_at_the_first_failure() {
    let lab = cluster(&["node1", "node2", "node3", "node4"]).await;
    lab.nodes[0].node.upgrades.set_upgraded();
    lab.nodes[2].node.upgrades.set_fate(Fate::Fails);
    bundle(&lab);
    lab.nodes[0].node.upgrades.set_upgraded();
    let command = ["upgrade", "--bundle", "qemu.bundle", "--parallel", "1"];
    let ran = lab.run(&command).await.failure();
    assert_eq!(versions(&lab), [NEW, NEW, OLD, OLD]);
    let calls = |node: usize| lab.nodes[node].node.upgrades.calls().len();
    assert_eq!((calls(0), calls(1), calls(2), calls(3)), (0, 1, 1, 0));
    let results: Vec<&str> = ran
        .out
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().nth(1))
        .collect();
    assert_eq!(
        results,
        ["already", "upgraded", "failed", "not-begun"],
        "{}",
        ran.out
    );
    assert!(
        ran.err.contains(
            "to continue when that is fixed: bedplate upgrade --bundle qemu.bundle --parallel 1 -n"
        ),
        "{}",
        ran.err
    );

    lab.nodes[2].node.upgrades.set_fate(Fate::Commits);
    let ran = lab
        .run(&[command.as_slice(), &["-o", "json"]].concat())
        .await
        .success();
    let lines: Vec<serde_json::Value> = ran
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let results: Vec<&str> = lines.iter().filter_map(|line| line["result"].as_str()).collect();
    assert_eq!(
        results,
        ["already", "already", "upgraded", "upgraded"],
        "{}",
        ran.out
    );
    for event in ["plan", "progress"] {
        assert!(
            lines.iter().any(|line| line["event"] == event),
            "{event}: {}",
            ran.out
        );
    }
    assert_eq!(versions(&lab), [NEW; 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_away_for_a_while_is_waited_for() {
    let lab = cluster(&["node1"]).await;
    let (tls, upgrades) = (lab.nodes[0].tls.clone(), lab.nodes[0].node.upgrades.clone());
    let serving = tls.current().unwrap();
    tokio::spawn(async move {
        // The API goes away as soon as the node has started, and comes back upgraded.
        while upgrades.calls().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tls.set(None);
        tokio::time::sleep(Duration::from_secs(2)).await;
        tls.set(Some((*serving).clone()));
    });
    let ran = lab.run(&["upgrade", "--url", URL, "--wait"]).await.success();
    assert!(ran.out.contains("runs 0.2.0 and keeps it"), "{ran:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_armed_is_neither_doubled_nor_bound_to_happen() {
    let lab = cluster(&["node1"]).await;
    let command = ["upgrade", "--url", URL, "--no-reboot"];
    let ran = lab.run(&command).await.success();
    assert!(ran.out.contains("starts 0.2.0 with its next reboot"), "{ran:#?}");
    let ran = lab.run(&["upgrade", "--url", URL]).await.failure();
    assert!(ran.err.contains("another upgrade runs already"), "{ran:#?}");
    let status = lab.run(&["upgrade", "status"]).await.success().out;
    assert!(status.contains("armed for the next boot"), "{status}");
    let cancelled = lab.run(&["upgrade", "cancel"]).await.success().out;
    assert!(cancelled.contains("upgrade u1 was cancelled"), "{cancelled}");
    let ran = lab.run(&["upgrade", "rollback"]).await.failure();
    assert!(ran.err.contains("add --yes"), "{ran:#?}");
    lab.run(&["upgrade", "rollback", "--yes"]).await.success();
    assert_eq!(lab.nodes[0].node.upgrades.calls()[1..], ["cancel", "rollback"]);
}

/// Waits until the node was asked for an upgrade.
async fn begun(lab: &Cluster) {
    while lab.nodes[0].node.upgrades.calls().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interruption_explains_what_continues_and_can_be_resumed() {
    let lab = cluster(&["node1"]).await;
    lab.nodes[0].node.upgrades.set_fate(Fate::Hangs);
    let addresses = lab.addresses();
    let mut child = lab
        .home
        .command(&["upgrade", "--url", URL, "--wait", "-n", &addresses])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    begun(&lab).await;
    // By then the program listens for signals: it has called.
    let killed = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(killed.unwrap().success());
    let mut said = String::new();
    let code = tokio::task::block_in_place(|| {
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        child.wait().unwrap().code()
    });
    assert_eq!(code, Some(130), "{said}");
    assert!(
        said.contains("a node that has started continues by itself"),
        "{said}"
    );
    assert!(said.contains("bedplate upgrade cancel"), "{said}");

    // The same command finds the upgrade that runs, and does not begin another.
    let again = lab
        .run(&["upgrade", "--url", URL, "--wait", "--patience", "1s"])
        .await
        .failure();
    assert!(
        again
            .err
            .contains("not finished within 1s (last: opening the bundle)"),
        "{again:#?}"
    );
    assert_eq!(lab.nodes[0].node.upgrades.calls().len(), 1);
    let other = lab
        .run(&["upgrade", "--url", "https://elsewhere.example/x"])
        .await
        .failure();
    assert!(
        other
            .err
            .contains("it is already being upgraded from https://releases.example"),
        "{other:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_has_its_rules() {
    let lab = cluster(&[]).await;
    for wrong in [
        &["upgrade"] as &[&str],
        &["upgrade", "--url", URL, "--bundle", "x"],
        &["upgrade", "--url", URL, "--no-reboot", "--mode", "now"],
        &["upgrade", "--url", URL, "--parallel", "0"],
        &["upgrade", "--url", URL, "--rate-limit", "fast"],
        &["upgrade", "--url", URL, "status"],
    ] {
        lab.home.run(wrong).usage();
    }
    let help = lab.home.run(&["upgrade", "--help"]).success().out;
    assert!(
        help.contains("bedplate upgrade --bundle node.bundle --wait"),
        "{help}"
    );
}
