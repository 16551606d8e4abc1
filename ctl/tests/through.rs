//! Calls through an endpoint: the real program, real API servers, TLS from end to end.
#![expect(clippy::unwrap_used, reason = "a test may unwrap")]

mod program;

use std::time::SystemTime;

use program::cluster::{Cluster, cluster, serving};
use program::{Home, Ran};
use server::testing::TestServer;

/// A cluster whose first node knows the others by name.
async fn lab(others: &[&str]) -> Cluster {
    let mut lab = cluster(&["cp1"]).await;
    for name in others {
        let serving = serving(&lab.secrets, &[name, "127.0.0.1"], SystemTime::now());
        lab.nodes.push(TestServer::start(name, serving).await.unwrap());
        lab.nodes[0]
            .node
            .peers
            .add(name, lab.nodes.last().unwrap().address);
    }
    lab
}

fn run(home: &Home, arguments: &[&str]) -> Ran {
    tokio::task::block_in_place(|| home.run(arguments))
}

fn through<'a>(endpoint: &'a str, nodes: &'a str, arguments: &[&'a str]) -> Vec<&'a str> {
    [arguments, &["--endpoint", endpoint, "--nodes", nodes]].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_endpoint_reaches_all_nodes() {
    let names: Vec<String> = (1..=12).map(|number| format!("w{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let lab = lab(&names).await;
    let endpoint = lab.nodes[0].address.to_string();
    // More than one connection to the endpoint has room for.
    let nodes = names.join(",");
    let ran = run(&lab.home, &through(&endpoint, &nodes, &["status", "-o", "json"])).success();
    let answers = ran.json();
    let hosts: Vec<&str> = answers
        .as_array()
        .unwrap()
        .iter()
        .map(|answer| answer["result"]["hostname"].as_str().unwrap())
        .collect();
    assert_eq!(hosts, names);
    assert_eq!(answers[0]["node"], "w1:50000");

    run(&lab.home, &through(&endpoint, "w2", &["reboot", "--yes"])).success();
    assert_eq!(lab.nodes[2].node.calls(), ["reboot"]);
    assert_eq!(lab.nodes[0].node.calls(), Vec::<String>::new());

    let ran = run(
        &lab.home,
        &through(&endpoint, "w1", &["logs", "containerd", "--tail", "1"]),
    );
    assert!(ran.success().out.contains("containerd line 3"));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_hop_that_fails_is_named() {
    let lab = lab(&["w1"]).await;
    let endpoint = lab.nodes[0].address.to_string();
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    lab.nodes[0].node.peers.add("off", closed);
    // It has a certificate of the cluster, for other names.
    let serving = serving(&lab.secrets, &["elsewhere", "127.0.0.1"], SystemTime::now());
    let other = TestServer::start("w3", serving).await.unwrap();
    lab.nodes[0].node.peers.add("w3", other.address);

    let status = |endpoint: &str, node: &str| {
        run(&lab.home, &through(endpoint, node, &["status"]))
            .failure()
            .err
    };
    let error = status(&endpoint, "w9");
    assert!(
        error.contains(&format!("{endpoint}: the cluster has no node \"w9\"")),
        "{error}"
    );
    let error = status(&endpoint, "off");
    assert!(
        error.contains(&format!("{endpoint}: cannot reach \"off\" at {closed} from here")),
        "{error}"
    );
    let error = status(&endpoint, "w3");
    assert!(
        error.contains("the certificate of w3:50000 is not valid for \"w3\"")
            && error.contains(&format!("(called through {endpoint})")),
        "{error}"
    );
    let error = status(&closed.to_string(), "w1");
    assert!(error.contains(&format!("nothing listens on {closed}")), "{error}");
    let error = status(&endpoint, "w1:6443");
    assert!(error.contains("only nodes on port 50000"), "{error}");

    // One of several: the others answer.
    let arguments = through(&endpoint, "w1,off", &["version"]);
    let ran = run(&lab.home, &arguments).failure();
    assert!(
        ran.out.contains("w1:50000") && ran.err.contains("cannot reach"),
        "{ran:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_endpoint_is_tried_and_a_context_may_say_so_for_good() {
    let lab = lab(&["w1"]).await;
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    };
    let endpoints = format!("{closed},{}", lab.nodes[0].address);
    let ran = run(&lab.home, &through(&endpoints, "w1", &["status"])).success();
    assert!(ran.out.contains("Node:      w1\n"), "{ran:#?}");

    run(&lab.home, &["context", "endpoints", &endpoints]).success();
    run(&lab.home, &["context", "nodes", "w1"]).success();
    run(&lab.home, &["status"]).failure();
    run(&lab.home, &["context", "through", "on"]).success();
    let ran = run(&lab.home, &["status"]).success();
    assert!(ran.out.contains("Node:      w1\n"), "{ran:#?}");
    let shown = run(&lab.home, &["context", "show", "-o", "json"])
        .success()
        .json();
    assert_eq!(shown["throughEndpoints"], true);
    // An endpoint alone is meant itself.
    let near = lab.nodes[0].address.to_string();
    let ran = run(&lab.home, &["status", "--endpoint", &near]).success();
    assert!(ran.out.contains("Node:      cp1\n"), "{ran:#?}");
    run(&lab.home, &["context", "through", "off"]).success();
    run(&lab.home, &["status"]).failure();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_its_cluster_does_not_vouch_for_is_called_directly() {
    let lab = lab(&["w1"]).await;
    let endpoint = lab.nodes[0].address.to_string();
    for option in ["--insecure", "--fingerprint=00"] {
        let option = option.replace("=00", &format!("={}", "00".repeat(32)));
        let arguments = through(&endpoint, "w1", &["status", &option]);
        let error = run(&lab.home, &arguments).failure().err;
        assert!(error.contains("leave --endpoint out"), "{error}");
    }
}
