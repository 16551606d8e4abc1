//! Runs the real program against the real API server, with a fake node behind it.

mod program;

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use pki::{Secrets, Serving};
use program::cluster::{cluster, serving};
use serde::{Deserialize, Serialize};
use server::testing::TestServer;
use state::Resource;
use state::kinds::{ManifestState, ManifestStatus};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Lamp {
    lit: bool,
}

impl Resource for Lamp {
    const KIND: &'static str = "Lamp";
}

#[tokio::test(flavor = "multi_thread")]
async fn every_read_has_its_command() {
    let lab = cluster(&["node1"]).await;
    lab.nodes[0]
        .store
        .put("test", "hall", Lamp { lit: true })
        .unwrap();
    let cases: &[(&[&str], &str)] = &[
        (&["version"], "qemu-arm64"),
        (
            &["status"],
            "Node:      node1\nPhase:     running\nHealth:    healthy\n",
        ),
        (&["health"], "node   healthy"),
        (&["time"], "SYNCHRONISED"),
        (&["get"], "Lamp  1"),
        (&["get", "lamp"], r#"Lamp  hall  1        test   {"lit":true}"#),
        (&["get", "Lamp", "hall"], "value:\n  lit: true\n"),
        (&["services"], "containerd  running  healthy"),
        (&["services"], "300 MiB  7 MiB"),
        (&["logs", "containerd", "--tail", "1"], "containerd line 3\n"),
        (&["events"], "info    boot: started"),
        (&["processes"], "RSS"),
        (&["containers"], "shop/web-1  (sandbox)  running"),
        (&["containers"], "stopped (137)"),
        (&["memory"], "AVAILABLE"),
        (&["cpu"], "LOAD 1M"),
        (&["disks"], "LABEL"),
        (&["mounts"], "TARGET"),
        (&["net"], "lo  "),
        (&["netstat"], "listen"),
        (&["netstat", "--all"], "established"),
        (&["ls"], "/proc"),
        (&["ls", "/proc/sys/kernel"], "osrelease"),
        (&["read", "/proc/sys/kernel/ostype"], "Linux\n"),
        (&["usage", "/var/log", "--depth", "0"], "  /var/log\n"),
        (&["get-config"], "the-real-token-of-it"),
    ];
    for (arguments, expected) in cases {
        let ran = lab.run(arguments).await.success();
        assert!(ran.out.contains(expected), "{arguments:?}: {}", ran.out);
    }
    assert_eq!(
        lab.nodes[0].node.calls(),
        Vec::<String>::new(),
        "reading changes nothing"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_action_has_its_command_and_asks_first() {
    let lab = cluster(&["node1"]).await;
    for verb in ["reboot", "shutdown", "reset"] {
        let error = lab.run(&[verb]).await.failure().err;
        assert!(
            error.contains("needs confirmation, and standard input is not a terminal; add --yes"),
            "{error}"
        );
    }
    assert_eq!(lab.nodes[0].node.calls(), Vec::<String>::new());
    for arguments in [
        &["service", "start", "containerd"] as &[&str],
        // A node says by itself when a service does not end: the client is not the one to give up.
        &["--timeout", "1s", "service", "stop", "containerd"],
        &["service", "restart", "containerd"],
        &["apply", "-f", "controlplane.yaml", "--mode", "try", "--dry-run"],
        &["bootstrap"],
        &["reboot", "--yes"],
        &["shutdown", "-y"],
        &["reset", "--scope", "all", "--shutdown", "--yes"],
        &["reset", "--scope", "data", "--yes"],
    ] {
        lab.run(arguments).await.success();
    }
    let expected = [
        "start containerd",
        "stop containerd",
        "restart containerd",
        "apply Try dry_run=true",
        "bootstrap",
        "reboot",
        "shutdown",
        "reset All shutdown=true",
        "reset Data shutdown=false",
    ];
    assert_eq!(lab.nodes[0].node.calls(), expected);
    let error = lab.run(&["service", "stop", "kubelet"]).await.failure().err;
    assert!(
        error.contains("there is no service \"kubelet\"; there are: containerd"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn several_nodes_answer_together_and_a_failure_is_reported() {
    let mut lab = cluster(&["node1", "node2", "node3"]).await;
    let all = lab.run(&["status"]).await.success();
    for (node, name) in lab.nodes.iter().zip(["node1", "node2", "node3"]) {
        assert!(
            all.out.contains(&format!("{}  {name}", node.address)),
            "{}",
            all.out
        );
    }
    assert!(all.out.starts_with("NODE  "), "{}", all.out);

    let away = lab.nodes.pop().expect("three of them").address.to_string();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let addresses = format!("{},{away}", lab.addresses());
    let some =
        tokio::task::block_in_place(|| lab.home.run(&["status", "-o", "json", "-n", &addresses])).failure();
    let list = some.json();
    assert_eq!(list.as_array().map(Vec::len), Some(3), "{list}");
    assert_eq!(list[1]["result"]["hostname"], "node2");
    assert_eq!(list[2]["node"], away);
    assert!(
        list[2]["error"]
            .as_str()
            .is_some_and(|error| error.contains("nothing listens")),
        "{list}"
    );
    assert!(some.err.contains("nothing listens"), "{}", some.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_are_tried_in_order() {
    let lab = cluster(&["node1"]).await;
    let endpoints = format!("127.0.0.1:1,{}", lab.addresses());
    let ran =
        tokio::task::block_in_place(|| lab.home.run(&["status", "-o", "yaml", "-e", &endpoints])).success();
    assert!(ran.out.contains("hostname: node1"), "{}", ran.out);
    assert!(ran.err.contains("nothing listens on 127.0.0.1:1"), "{}", ran.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn manifests_are_shown_in_the_order_in_which_they_are_applied() {
    let lab = cluster(&["node1"]).await;
    let none = lab.run(&["manifests"]).await.success();
    assert_eq!(none.out.lines().count(), 1, "{}", none.out);
    let manifest = |order, state, message: Option<&str>| ManifestStatus {
        order,
        source: "machine config".into(),
        objects: 2,
        state,
        message: message.map(str::to_owned),
    };
    let store = &lab.nodes[0].store;
    for (name, status) in [
        (
            "attic",
            manifest(2, ManifestState::Failed, Some("Pod a/b: it is refused")),
        ),
        ("zoo", manifest(1, ManifestState::Applied, None)),
    ] {
        store.put("test", name, status).unwrap();
    }
    let ran = lab.run(&["manifests"]).await.success();
    let rows: Vec<&str> = ran.out.lines().skip(1).collect();
    assert!(
        rows[0].starts_with("zoo") && rows[0].contains("applied"),
        "{}",
        ran.out
    );
    assert!(
        rows[1].starts_with("attic  failed   2        machine config  Pod a/b: it is refused"),
        "{}",
        ran.out
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_follows_each_node() {
    let lab = cluster(&["node1", "node2"]).await;
    for node in &lab.nodes {
        node.store.put("test", "hall", Lamp { lit: false }).unwrap();
    }
    let addresses = lab.addresses();
    let mut watch = lab
        .home
        .command(&["get", "lamp", "--watch", "-o", "json", "-n", &addresses]);
    let mut child = watch.stdout(Stdio::piped()).spawn().expect("the program starts");
    let (sender, mut lines) = tokio::sync::mpsc::unbounded_channel();
    let out = BufReader::new(child.stdout.take().expect("a pipe"));
    std::thread::spawn(move || {
        out.lines()
            .map_while(Result::ok)
            .try_for_each(|line| sender.send(line))
    });
    let mut next = async || -> serde_json::Value {
        let line = tokio::time::timeout(Duration::from_secs(20), lines.recv())
            .await
            .expect("in time")
            .expect("a line");
        serde_json::from_str(&line).expect("JSON")
    };
    for _ in 0..4 {
        let event = next().await;
        assert!(
            ["created", "synced"].iter().any(|word| event["event"] == *word),
            "{event}"
        );
    }
    lab.nodes[1]
        .store
        .put("test", "hall", Lamp { lit: true })
        .unwrap();
    let event = next().await;
    assert_eq!(event["event"], "updated");
    assert_eq!(event["node"], lab.nodes[1].address.to_string());
    assert_eq!(event["resource"]["valueJson"], r#"{"lit":true}"#);
    child.kill().expect("ours");
    child.wait().expect("ours");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_learns_what_it_may_not_do() {
    let lab = cluster(&["node1"]).await;
    lab.home
        .run(&[
            "gen",
            "client",
            "lab",
            "--at",
            "127.0.0.1",
            "--file",
            "reader.yaml",
        ])
        .success();
    let as_reader =
        async |arguments: &[&str]| lab.run(&[arguments, &["--config", "reader.yaml"]].concat()).await;
    let error = as_reader(&["reboot", "--yes"]).await.failure().err;
    assert!(
        error.contains("needs the role operator") && error.contains("gen client --role"),
        "{error}"
    );
    let config = as_reader(&["get-config"]).await.success().out;
    assert!(config.contains("<redacted>"), "{config}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_config_goes_nowhere_and_a_refused_one_lists_its_faults() {
    let lab = cluster(&["node1"]).await;
    lab.home.write(
        "bad.yaml",
        "apiVersion: bedplate.dev/v1alpha1\nkind: MachineConfig\nmachine: {}\n",
    );
    let error = lab.run(&["apply", "-f", "bad.yaml"]).await.failure().err;
    assert!(
        error.contains("was not sent to any node") && error.contains("bad.yaml:3: machine.role"),
        "{error}"
    );
    lab.home.write("strange.yaml", "# <redacted>\nkind: x\n");
    let error = lab.run(&["apply", "-f", "strange.yaml"]).await.failure().err;
    assert!(
        error.contains("kind: is missing; expected MachineConfig"),
        "{error}"
    );
    assert_eq!(lab.nodes[0].node.calls(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn maintenance_mode_is_entered_by_fingerprint() {
    let mut lab = cluster(&[]).await;
    let made = pki::authority::maintenance(&[]).expect("a certificate");
    let serving = Serving::maintenance(&made).expect("settings");
    lab.nodes
        .push(TestServer::start("new", serving).await.expect("a server"));
    let fingerprint = made.certificate.fingerprint().to_string();

    let error = lab.run(&["status"]).await.failure().err;
    assert!(
        error.contains("maintenance mode") && error.contains(&fingerprint),
        "{error}"
    );
    let error = lab
        .run(&["status", "--fingerprint", &"0".repeat(64)])
        .await
        .failure()
        .err;
    assert!(error.contains("is not the one given"), "{error}");
    let status = lab
        .run(&["status", "--fingerprint", &fingerprint])
        .await
        .success()
        .out;
    assert!(status.contains("maintenance"), "{status}");
    let error = lab.run(&["reboot", "--yes", "--insecure"]).await.failure().err;
    assert!(error.contains("not answered in maintenance mode"), "{error}");
    lab.run(&["apply", "--insecure", "-f", "controlplane.yaml"])
        .await
        .success();
    assert_eq!(lab.nodes[0].node.calls(), ["apply Auto dry_run=false"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_tls_refuses_is_explained() {
    let mut lab = cluster(&["node1"]).await;
    let other = Secrets::generate(SystemTime::now()).expect("secrets");
    let month = Duration::from_secs(30 * 86400);
    let now = SystemTime::now();
    let cases = [
        (serving(&other, &["127.0.0.1"], now), "not by this context's CA"),
        (
            serving(&lab.secrets, &["node1", "10.9.9.9"], now),
            "is not valid for \"127.0.0.1\", only for node1, 10.9.9.9",
        ),
        (
            serving(&lab.secrets, &["127.0.0.1"], now - month),
            "one of the two clocks is wrong",
        ),
        (
            serving(&lab.secrets, &["127.0.0.1"], now + month),
            "one of the two clocks is wrong",
        ),
    ];
    for (serving, expected) in cases {
        lab.nodes[0].tls.set(Some(serving));
        let error = lab.run(&["status"]).await.failure().err;
        assert!(error.contains(expected), "{expected}: {error}");
    }
    lab.nodes[0].tls.set(None);
    let error = lab.run(&["status"]).await.failure().err;
    assert!(error.contains("during the TLS handshake"), "{error}");

    // The client's side: no certificate, a stranger's, and an expired one.
    lab.nodes = vec![
        TestServer::start("node1", serving(&lab.secrets, &["127.0.0.1"], now))
            .await
            .expect("a server"),
    ];
    let error = lab.run(&["status", "--insecure"]).await.failure().err;
    assert!(error.contains("requires a client certificate"), "{error}");
    lab.home
        .run(&["gen", "config", "lab", "127.0.0.1", "--folder", "away"])
        .success();
    let print = lab.nodes[0]
        .tls
        .current()
        .expect("a certificate")
        .fingerprint
        .to_string();
    let error = lab
        .run(&["status", "--config", "away/client.yaml", "--fingerprint", &print])
        .await
        .failure()
        .err;
    assert!(
        error.contains("does not trust the CA of the client certificate"),
        "{error}"
    );
    let expired = [
        "gen",
        "client",
        "lab",
        "--at",
        "x",
        "--lifetime",
        "0s",
        "--file",
        "old.yaml",
    ];
    lab.home.run(&expired).success();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let error = lab.run(&["status", "--config", "old.yaml"]).await.failure().err;
    assert!(
        error.contains("expired on") && error.contains("gen client"),
        "{error}"
    );
}
