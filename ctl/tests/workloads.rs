//! Runs the real program against the real API server, with a fake node's workloads and images behind it.

mod program;

use std::fs;

use program::cluster::cluster;

#[tokio::test(flavor = "multi_thread")]
async fn workloads_are_listed_with_their_usage_and_controlled() {
    let lab = cluster(&["node1"]).await;
    let list = lab.run(&["workloads"]).await.success().out;
    for expected in [
        "camera  running  healthy",
        "rolled-back  registry.example.org/camera:1.4  5 MiB of 64 MiB",
        "was rolled back: ended with 1",
    ] {
        assert!(list.contains(expected), "{expected}: {list}");
    }
    let json = lab.run(&["workloads", "--output", "json"]).await.success().json();
    assert_eq!(json["workloads"][0]["stage"], "rolled-back");
    assert_eq!(json["workloads"][0]["usage"]["cpuMs"], 90_000);
    for verb in ["start", "stop", "restart"] {
        lab.run(&["workload", verb, "camera"]).await.success();
    }
    let expected = [
        "start workload camera",
        "stop workload camera",
        "restart workload camera",
    ];
    assert_eq!(lab.nodes[0].node.calls(), expected);
    let error = lab.run(&["workload", "stop", "radio"]).await.failure().err;
    assert!(
        error.contains("workload \"radio\" not found; known: camera"),
        "{error}"
    );
    let error = lab.run(&["workload", "logs", "camera"]).await.failure().err;
    assert!(error.contains("workload-camera"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn images_are_listed_pulled_removed_and_imported() {
    let lab = cluster(&["node1"]).await;
    let list = lab.run(&["images", "list"]).await.success().out;
    let expected = "registry.example.org/camera:1.4  abababababab  12 MiB  camera";
    assert!(list.contains(expected), "{list}");
    let pulled = lab
        .run(&["images", "pull", "r.example.org/a:2"])
        .await
        .success()
        .out;
    assert!(
        pulled.contains("r.example.org/a:2  abababababab  12 MiB"),
        "{pulled}"
    );
    let gone = lab
        .run(&["images", "pull", "r.example.org/a:gone"])
        .await
        .failure()
        .err;
    assert!(
        gone.contains("cannot pull r.example.org/a:gone: it is not there"),
        "{gone}"
    );
    let needed = lab
        .run(&["images", "remove", "registry.example.org/camera:1.4"])
        .await
        .failure()
        .err;
    assert!(needed.contains("is needed by camera"), "{needed}");
    lab.run(&["images", "remove", "r.example.org/a:2"])
        .await
        .success();

    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("shell.tar");
    let mut content = vec![7; (2 << 20) + 5];
    *content.last_mut().unwrap() = 9;
    fs::write(&archive, content).unwrap();
    let path = archive.to_str().unwrap();
    let imported = lab.run(&["images", "import", path]).await.success().out;
    assert!(imported.contains("localhost/shell:1"), "{imported}");
    let named = lab
        .run(&["images", "import", path, "--name", "r/b:3"])
        .await
        .success()
        .out;
    assert!(named.contains("r/b:3"), "{named}");
    let expected = [
        "pull r.example.org/a:2",
        "remove image r.example.org/a:2",
        "import 2097157 bytes, the last is 9",
        "import 2097157 bytes, the last is 9",
    ];
    assert_eq!(lab.nodes[0].node.calls(), expected);
    let folder = folder.path().to_str().unwrap();
    let error = lab.run(&["images", "import", folder]).await.failure().err;
    assert!(error.contains("is not a file; expected an archive"), "{error}");
}
