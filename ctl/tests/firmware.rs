//! Runs the real program against the real API server, with a fake node's firmware behind it.

mod program;

use program::cluster::cluster;

#[tokio::test(flavor = "multi_thread")]
async fn firmware_is_shown_and_repaired() {
    let lab = cluster(&["node1"]).await;
    let status = lab.run(&["firmware", "status"]).await.success().out;
    for expected in [
        "Release:    0.2.0",
        "Installed:  0.1.0",
        "Trial:      new files are tried at the next start",
        "autoboot.txt: of no release",
        "config.txt: changed",
        "config.txt is not that of the release",
    ] {
        assert!(status.contains(expected), "{expected}: {status}");
    }
    let json = lab
        .run(&["firmware", "status", "--output", "json"])
        .await
        .success()
        .json();
    assert_eq!(json["differences"][1]["path"], "config.txt");
    assert_eq!(json["differences"][1]["difference"], "changed");

    let planned = lab.run(&["firmware", "repair", "--dry-run"]).await.success().out;
    assert!(planned.contains("config.txt  try at the next start"), "{planned}");
    lab.run(&["firmware", "repair", "--yes", "--without-trial"])
        .await
        .success();
    let removed = lab
        .run(&[
            "firmware",
            "repair",
            "--yes",
            "--remove-unknown",
            "--output",
            "json",
        ])
        .await
        .success()
        .json();
    assert_eq!(removed["removed"][0], "autoboot.txt");
    assert_eq!(
        lab.nodes[0].node.calls(),
        [
            "repair firmware, dry run true, remove unknown false, without trial false",
            "repair firmware, dry run false, remove unknown false, without trial true",
            "repair firmware, dry run false, remove unknown true, without trial false",
        ]
    );
    // Without an answer nothing is written.
    lab.run(&["firmware", "repair"]).await.failure();
    assert_eq!(lab.nodes[0].node.calls().len(), 3);
}
