//! The real program on this repository's boards, as far as it goes without a network.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bedplate-image"))
        .args(arguments)
        .current_dir(folder)
        .env("HOME", folder)
        .env_remove("BEDPLATE_KEY_PASSWORD")
        .stdin(std::process::Stdio::null())
        .output()
        .expect("the program was built")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn boards_are_found_from_any_folder_below() {
    let done = run(&root().join("docs"), &["boards", "--output", "json"]);
    let boards: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    let names: Vec<&str> = boards
        .as_array()
        .unwrap()
        .iter()
        .map(|board| board["name"].as_str().unwrap())
        .collect();
    for name in ["generic-amd64", "generic-arm64", "qemu-arm64", "rpi3"] {
        assert!(names.contains(&name), "{name} is not among {names:?}");
    }
    assert!(!names.contains(&"arm64"), "a family cannot be built");
}

#[test]
fn a_plan_names_every_package_with_its_locked_version() {
    let dir = tempfile::tempdir().unwrap();
    for board in ["generic-amd64", "generic-arm64", "qemu-arm64", "rpi3"] {
        let tree = root().display().to_string();
        let plan = [
            "build",
            "--dry-run",
            "--output",
            "json",
            "--tree",
            &tree,
            "--board",
            board,
            "--key",
            "k",
            "--out",
            "o",
        ];
        let done = run(dir.path(), &plan);
        assert!(done.status.success(), "{}", text(&done.stderr));
        let plan: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
        let packages = plan["packages"].as_array().unwrap();
        assert!(packages.len() > 10);
        for package in packages {
            assert!(
                package["version"].is_string(),
                "{board}: {} is not locked: run `cargo xtask lock`",
                package["name"]
            );
        }
    }
    assert!(!dir.path().join("o").exists(), "a plan writes nothing");
}

#[test]
fn a_disk_image_is_raw_unless_another_format_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let tree = root().display().to_string();
    for (option, good) in [
        ("--disk-image", true),
        ("--disk-image=raw", true),
        ("--disk-image=qcow2,raw.zst", true),
        ("--disk-image=vmdk", false),
    ] {
        let plan = [
            "build",
            "--dry-run",
            "--board",
            "openstack-amd64",
            "--key",
            "k",
            "--out",
            "o",
        ];
        // A format is never taken from the argument that follows.
        let done = run(dir.path(), &[&plan[..], &[option, "--tree", &tree]].concat());
        assert_eq!(done.status.success(), good, "{option}: {}", text(&done.stderr));
        if !good {
            let told = text(&done.stderr);
            assert!(told.contains("raw, qcow2, raw.zst"), "{told}");
        }
    }
}

#[test]
fn keys_are_made_once_and_for_their_owner_alone() {
    let dir = tempfile::tempdir().unwrap();
    let done = run(dir.path(), &["keys", "new", "--no-password", "--out", "keys"]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    let secret = dir.path().join("keys/bedplate.key");
    assert_eq!(fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600);
    let before = fs::read(&secret).unwrap();
    let again = run(dir.path(), &["keys", "new", "--no-password", "--out", "keys"]);
    assert!(!again.status.success());
    assert_eq!(fs::read(&secret).unwrap(), before);
    let unasked = run(dir.path(), &["keys", "new", "--out", "other"]);
    assert!(
        text(&unasked.stderr).contains("--no-password"),
        "{}",
        text(&unasked.stderr)
    );
}

#[test]
fn a_mistake_names_the_way_out() {
    let dir = tempfile::tempdir().unwrap();
    let tree = root().display().to_string();
    let build = |board: &'static str, key: &'static str| {
        ["build", "--board", board, "--key", key, "--out", "o", "--tree"].map(str::to_owned)
    };
    run(dir.path(), &["keys", "new", "--no-password"]);
    let cases: [(&[String], &str); 3] = [
        (&build("rpi33", "bedplate.key"), "did you mean \"rpi3\"?"),
        (
            &build("rpi3", "absent.key"),
            "cannot access the key file absent.key",
        ),
        (
            &build("rpi3", "bedplate.pub"),
            "bedplate.pub is not a minisign secret key",
        ),
    ];
    for (arguments, expected) in cases {
        let mut arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        arguments.push(&tree);
        let done = run(dir.path(), &arguments);
        assert!(!done.status.success());
        assert!(
            text(&done.stderr).contains(expected),
            "expected {expected:?} in: {}",
            text(&done.stderr)
        );
    }
    let lost = run(dir.path(), &["boards"]);
    assert!(text(&lost.stderr).contains("--tree DIR"));
    // What is quick to check comes before any download.
    let unbuilt = run(
        dir.path(),
        &[
            "build",
            "--board",
            "rpi3",
            "--key",
            "bedplate.key",
            "--out",
            "o",
            "--tree",
            &tree,
            "--binaries",
            "b",
        ],
    );
    assert!(
        text(&unbuilt.stderr).contains("b/arm64/machined is missing"),
        "{}",
        text(&unbuilt.stderr)
    );
}

#[test]
fn completions_and_schemas_are_printed() {
    let dir = tempfile::tempdir().unwrap();
    assert!(text(&run(dir.path(), &["completions", "bash"]).stdout).contains("bedplate-image"));
    let schema = run(dir.path(), &["schema", "overlay"]);
    let schema: serde_json::Value = serde_json::from_slice(&schema.stdout).unwrap();
    assert_eq!(schema["title"], "Overlay");
}

#[test]
fn a_result_that_cannot_be_printed_is_an_error_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let tree = root().display().to_string();
    let help = File::options().write(true).open("/dev/full").unwrap();
    let mut lost = Command::new(env!("CARGO_BIN_EXE_bedplate-image"));
    assert_eq!(lost.arg("--help").stdout(help).status().unwrap().code(), Some(74));
    let commands: [&[&str]; 5] = [
        &["boards", "--tree", &tree],
        &["schema", "board"],
        &["completions", "bash"],
        &["keys", "new", "--no-password"],
        &[
            "build",
            "--dry-run",
            "--tree",
            &tree,
            "--board",
            "rpi3",
            "--key",
            "k",
            "--out",
            "o",
        ],
    ];
    for arguments in commands {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let done = Command::new(env!("CARGO_BIN_EXE_bedplate-image"))
            .args(arguments)
            .current_dir(dir.path())
            .stdout(full)
            .output()
            .unwrap();
        assert_eq!(
            done.status.code(),
            Some(74),
            "{arguments:?}: {}",
            text(&done.stderr)
        );
        assert!(
            text(&done.stderr).contains("standard output"),
            "{}",
            text(&done.stderr)
        );
    }
    assert!(
        dir.path().join("bedplate.key").is_file(),
        "what was asked for is done"
    );
}

/// Writes an OCI archive of an image of one layer for arm64.
fn container(path: &Path) {
    let image =
        images::oci::archive("localhost/app:1", board::Arch::Arm64, "app", b"elf").expect("memory is there");
    fs::write(path, image).expect("the folder is writable");
}

#[test]
fn container_images_are_checked_before_anything_is_downloaded() {
    let dir = tempfile::tempdir().unwrap();
    container(&dir.path().join("app.tar"));
    fs::write(dir.path().join("not.tar"), "no archive").unwrap();
    let tree = root().display().to_string();
    let plan = |board: &str, more: &[&str]| {
        let common = [
            "build",
            "--dry-run",
            "--output",
            "json",
            "--tree",
            &tree,
            "--key",
            "k",
            "--out",
            "o",
            "--board",
            board,
        ];
        run(dir.path(), &[&common[..], more].concat())
    };
    let done = plan(
        "generic-arm64",
        &["--overlay", "containerd", "--container", "mine:2=app.tar"],
    );
    assert!(done.status.success(), "{}", text(&done.stderr));
    let plan_of: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(plan_of["containers"][0]["name"], "docker.io/library/mine:2");
    for (board, container, expected) in [
        (
            "generic-amd64",
            "app.tar",
            "it has no image for linux/amd64, which the board needs; it has linux/arm64",
        ),
        (
            "generic-arm64",
            "not.tar",
            "container image not.tar cannot be used",
        ),
        ("generic-arm64", "none.tar", "none.tar"),
    ] {
        let done = plan(board, &["--overlay", "containerd", "--container", container]);
        let told = text(&done.stderr);
        assert!(!done.status.success() && told.contains(expected), "{told}");
    }
}
