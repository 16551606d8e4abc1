//! Runs the real program against the real API server, with a fake node's etcd behind it.

mod program;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use program::cluster::cluster;

#[tokio::test(flavor = "multi_thread")]
async fn etcd_is_shown_and_changed() {
    let lab = cluster(&["node1"]).await;
    let cases: &[(&[&str], &str)] = &[
        (
            &["members"],
            "8e9e05c52164694d  node1  https://192.0.2.7:2380  yes    yes",
        ),
        (&["members", "--output", "json"], r#""peerUrls": ["#),
        (&["status"], "leader  3.5.16"),
        (
            &["snapshots"],
            "20261127T181500Z-r4711.db  2026-11-27T18:15:00.000Z",
        ),
        (&["snapshots"], "20 MiB  4000"),
        (&["snapshots", "--output", "json"], r#""takenUnix": "#),
        (&["alarms"], "8e9e05c52164694d  no-space"),
        (&["remove-member", "node3", "--yes"], "member node3 : removed"),
        (&["leave", "--yes"], "etcd: left"),
        (&["forfeit-leadership"], "etcd: node2 leads"),
        (&["defrag"], "etcd: defragmented"),
        (&["alarms", "--disarm"], "no-space"),
    ];
    for (arguments, expected) in cases {
        let arguments: Vec<&str> = std::iter::once("etcd").chain(arguments.iter().copied()).collect();
        let ran = lab.run(&arguments).await.success();
        assert!(ran.out.contains(expected), "{arguments:?}: {}", ran.out);
    }
    let expected = [
        "remove member node3",
        "leave",
        "forfeit leadership",
        "defragment",
        "disarm",
    ];
    assert_eq!(lab.nodes[0].node.calls(), expected);
    for arguments in [&["etcd", "leave"][..], &["etcd", "remove-member", "node3"]] {
        let error = lab.run(arguments).await.failure().err;
        assert!(error.contains("needs confirmation"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_verified_and_for_nobody_else_s_eyes() {
    let lab = cluster(&["node1"]).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("etcd.db");
    let path = file.to_str().unwrap();
    lab.run(&["etcd", "snapshot", path]).await.success();
    let saved = fs::read(&file).unwrap();
    assert!(
        saved.starts_with(b"some data") && saved.len() == 9 + 32,
        "{saved:?}"
    );
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let kept = folder.path().join("kept.db");
    let name = [
        "etcd",
        "snapshot",
        "--kept",
        "20261127T181500Z-r4711.db",
        kept.to_str().unwrap(),
    ];
    lab.run(&name).await.success();
    assert_eq!(fs::read(&kept).unwrap(), saved);
    assert_eq!(lab.nodes[0].node.calls(), ["snapshot 20261127T181500Z-r4711.db"]);
    let error = lab.run(&["etcd", "snapshot", path]).await.failure().err;
    assert!(error.contains("exists already; choose another name"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_sent_in_pieces_to_recover_from() {
    let lab = cluster(&["node1"]).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("etcd.db");
    let path = file.to_str().unwrap();
    let recover = ["bootstrap", "--recover-from", path];
    assert!(lab.run(&recover).await.failure().err.contains("cannot open"));
    let mut content = vec![1; 3 << 20];
    content.push(9);
    fs::write(&file, &content).unwrap();
    let ran = lab.run(&recover).await.success();
    assert!(ran.out.contains("3 MiB with SHA-256 abab"), "{}", ran.out);
    assert!(ran.err.contains("restoring the snapshot"), "{}", ran.err);
    assert_eq!(
        lab.nodes[0].node.calls(),
        ["recover from 3145729 bytes, the last is 9"]
    );
    let json = [&recover[..], &["--output", "json"]].concat();
    let ran = lab.run(&json).await.success();
    assert!(
        ran.out.contains(r#""sizeBytes": "3145729""#) || ran.out.contains(r#""sizeBytes": 3145729"#),
        "{}",
        ran.out
    );
    let kept = [
        "bootstrap",
        "--recover-from-kept",
        "20261127T181500Z-r4711.db",
        "--replace-data",
    ];
    assert!(lab.run(&kept).await.failure().err.contains("needs confirmation"));
    let ran = lab.run(&[&kept[..], &["--yes"]].concat()).await.success();
    assert!(ran.out.contains("20 MiB with SHA-256 cdcd"), "{}", ran.out);
    let calls = lab.nodes[0].node.calls();
    assert_eq!(
        calls.last().unwrap(),
        "recover from 20261127T181500Z-r4711.db, replace: true"
    );
    let error = lab
        .run(&["bootstrap", "--replace-data", "--yes"])
        .await
        .failure()
        .err;
    assert!(error.contains("is for a recovery"), "{error}");
    fs::write(&file, b"").unwrap();
    let error = lab.run(&recover).await.failure().err;
    assert!(error.contains("this is no snapshot of etcd"), "{error}");
}
