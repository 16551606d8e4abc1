//! Runs `bedplate copy` against the real API server, which reads files of this machine.

mod program;

use std::io::Read as _;

use program::cluster::cluster;

#[tokio::test(flavor = "multi_thread")]
async fn files_of_a_node_are_unpacked_or_piped() {
    let lab = cluster(&["node1"]).await;
    let ran = lab.run(&["copy", "/etc/hosts", "there"]).await.success();
    assert!(ran.err.contains("1 files"), "{}", ran.err);
    let hosts = std::fs::read_to_string("/etc/hosts").expect("this machine has one");
    assert_eq!(lab.home.read("there/hosts"), hosts);
    let again = lab.run(&["copy", "/etc/hosts", "there"]).await.failure();
    assert!(again.err.contains("cannot write there/hosts"), "{}", again.err);

    lab.run(&["copy", "/etc/apt", "."]).await.success();
    let own: Vec<_> = std::fs::read_dir("/etc/apt")
        .expect("a folder")
        .flatten()
        .collect();
    assert!(!own.is_empty());
    for entry in own.iter().filter(|entry| entry.path().is_dir()) {
        let name = format!("apt/{}", entry.file_name().display());
        assert!(lab.home.path(&name).is_dir(), "{name}");
    }

    let address = lab.addresses();
    let mut command = lab.home.command(&["copy", "/etc/hosts", "-", "-n", &address]);
    let piped = tokio::task::block_in_place(|| command.output()).expect("the program starts");
    let mut archive = tar::Archive::new(piped.stdout.as_slice());
    let mut entry = archive
        .entries()
        .expect("a tar")
        .next()
        .expect("a file")
        .expect("a file");
    let mut text = String::new();
    entry.read_to_string(&mut text).expect("a text");
    assert_eq!(
        (entry.path().expect("a path").display().to_string().as_str(), text),
        ("hosts", hosts)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_data_and_living_files_are_not_copied() {
    let lab = cluster(&["node1", "node2"]).await;
    for (path, expected) in [
        ("/var/lib/bedplate", "cannot be read over the API"),
        ("/var/lib/containerd", "cannot be read over the API"),
        ("/etc/ssl/private", "cannot be read over the API"),
        ("/root", "cannot be read over the API"),
        ("/proc/sys", "use `bedplate read`"),
        ("/etc/no-such-file", "does not exist"),
    ] {
        let address = lab.nodes[0].address.to_string();
        let arguments = ["copy", path, "there", "-n", &address];
        let error = tokio::task::block_in_place(|| lab.home.run(&arguments))
            .failure()
            .err;
        assert!(error.contains(expected), "{path}: {error}");
    }
    let error = lab.run(&["copy", "/etc/hosts"]).await.failure().err;
    assert!(error.contains("from one node at a time"), "{error}");

    // Whatever is secret below a folder is left out of it.
    let address = lab.nodes[0].address.to_string();
    let arguments = ["copy", "/etc/ssl", "ssl", "-n", &address];
    tokio::task::block_in_place(|| lab.home.run(&arguments)).success();
    assert!(lab.home.path("ssl/ssl").is_dir() && !lab.home.path("ssl/ssl/private").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_neither_copies_nor_measures() {
    let lab = cluster(&["node1"]).await;
    let client = [
        "gen",
        "client",
        "lab",
        "--at",
        "127.0.0.1",
        "--file",
        "reader.yaml",
    ];
    lab.home.run(&client).success();
    for arguments in [&["copy", "/etc/hosts"] as &[&str], &["usage"]] {
        let all = [arguments, &["--config", "reader.yaml"]].concat();
        let error = lab.run(&all).await.failure().err;
        assert!(error.contains("needs the role operator"), "{error}");
    }
    let error = lab.run(&["usage", "/etc"]).await.failure().err;
    assert!(error.contains("only folders below /var"), "{error}");
}
