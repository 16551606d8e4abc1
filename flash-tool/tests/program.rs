//! The real program, writing to files.

#![expect(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use layout::Name;
use serde_json::Value;
use support::program::{config, flash, good, program, stderr, table, target};
use support::{CONFIG, MIB, Recipe, noise, sample};
use sys::process::{Stop, stop};

#[test]
fn a_file_is_flashed_and_other_tools_agree() {
    let sample = sample(&Recipe {
        hybrid: false,
        ..Recipe::default()
    });
    let target = target(&sample);
    let outcome = good(&flash(
        &sample.key_file,
        &sample.bundle,
        &target,
        &["--yes", "--output=json", "--size=512M"],
    ));
    assert_eq!(outcome["plan"]["release"]["board"], "test");
    assert_eq!(outcome["report"]["stages"].as_array().unwrap().len(), 6);
    assert_eq!(outcome["report"]["disk"], outcome["plan"]["disk"]);

    let facts = fs::metadata(&target).unwrap();
    assert_eq!(facts.len(), 512 * MIB);
    assert!(
        facts.blocks() * 512 < 8 * MIB,
        "{} bytes are not sparse",
        facts.blocks() * 512
    );
    let table = table(&target).unwrap();
    assert_eq!(outcome["report"]["disk"], table.guids.disk.to_string());
    let mut slot = vec![0; sample.slot.len()];
    let start = table.layout.extent(Name::SlotA).start;
    File::open(&target)
        .unwrap()
        .read_exact_at(&mut slot, start)
        .unwrap();
    assert!(slot == sample.slot);

    if let Some(said) = run("sgdisk", &["-v"], &target) {
        assert!(said.contains("No problems found"), "{said}");
    }
    let verity = &sample.manifest.slot.verity;
    let root = verity.root_hash.to_string();
    let options = [
        "verify".to_owned(),
        "--no-superblock".into(),
        "--format=1".into(),
        "--hash=sha256".into(),
        "--data-block-size=4096".into(),
        "--hash-block-size=4096".into(),
        format!("--data-blocks={}", verity.data_blocks),
        format!("--hash-offset={}", verity.tree_offset),
        format!("--salt={}", verity.salt),
    ];
    let image = sample.dir.path().join("slot.img");
    fs::write(&image, &slot).unwrap();
    let checked = Command::new("veritysetup")
        .args(options)
        .args([&image, &image])
        .arg(root)
        .output();
    match checked {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            eprintln!("skipped: veritysetup is not installed (package cryptsetup-bin)");
        }
        checked => {
            let checked = checked.unwrap();
            assert!(checked.status.success(), "{}", stderr(&checked));
        }
    }
}

/// Runs another tool on a file; `None` when it is not installed.
fn run(tool: &str, arguments: &[&str], file: &Path) -> Option<String> {
    match Command::new(tool).args(arguments).arg(file).output() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            eprintln!("skipped: {tool} is not installed");
            None
        }
        output => Some(String::from_utf8_lossy(&output.unwrap().stdout).into_owned()),
    }
}

#[test]
fn a_config_is_injected_with_overrides() {
    let sample = sample(&Recipe::default());
    let (target, config) = (target(&sample), config(&sample, CONFIG));
    let config = format!("--config={}", config.display());
    let arguments = [
        "--yes",
        "--output=json",
        &config,
        "--hostname=node7",
        "--address=10.0.0.7/24",
        "--gateway=10.0.0.1",
        "--interface=eth0",
    ];
    let outcome = good(&flash(&sample.key_file, &sample.bundle, &target, &arguments));
    assert_eq!(outcome["plan"]["config"]["hostname"], "node7");
    assert!(
        !outcome.to_string().contains("PRIVATE KEY"),
        "secrets are never shown"
    );

    let mut partition = vec![0; machine_config::medium::MAX];
    let start = table(&target).unwrap().layout.extent(Name::Config).start;
    File::open(&target)
        .unwrap()
        .read_exact_at(&mut partition, start)
        .unwrap();
    let yaml = machine_config::medium::decode(&partition).unwrap().unwrap();
    let parsed = machine_config::parse(&yaml).unwrap();
    assert_eq!(parsed.machine.hostname.unwrap().to_string(), "node7");
    assert_eq!(
        parsed.machine.network.interfaces[0].addresses[0].to_string(),
        "10.0.0.7/24"
    );
    assert_eq!(
        parsed.machine.ca,
        machine_config::parse(CONFIG).unwrap().machine.ca
    );
}

#[test]
fn flashing_again_writes_little() {
    let sample = sample(&Recipe::default());
    let target = target(&sample);
    let arguments = ["--yes", "--output=json"];
    let first = good(&flash(&sample.key_file, &sample.bundle, &target, &arguments));
    let again = good(&flash(&sample.key_file, &sample.bundle, &target, &arguments));
    let written = |outcome: &Value| outcome["report"]["written"].as_u64().unwrap();
    assert!(written(&first) > 400_000, "{}", written(&first));
    assert!(written(&again) < 120_000, "{}", written(&again));
    assert_ne!(
        first["plan"]["disk"], again["plan"]["disk"],
        "two disks never have the same name"
    );
}

#[test]
fn a_flash_that_is_interrupted_or_killed_does_not_boot_and_the_next_run_completes() {
    let sample = sample(&Recipe {
        root: noise(96 << 20, 8),
        slot_size: 128 * MIB,
        ..Recipe::default()
    });
    let target = target(&sample);
    let arguments = ["--yes", "--output=json"];
    // A disk that boots, with another system.
    let old = support::sample(&Recipe {
        slot_size: 128 * MIB,
        ..Recipe::default()
    });
    for (signal, code) in [(Stop::Terminate, Some(143)), (Stop::Kill, None)] {
        // What an earlier round wrote would pass for what this one writes.
        let _ = fs::remove_file(&target);
        good(&flash(&old.key_file, &old.bundle, &target, &arguments));
        let slot = table(&target).unwrap().layout.extent(Name::SlotA);
        let mut command = program();
        command
            .arg("--key")
            .arg(&sample.key_file)
            .args(arguments)
            .args([&sample.bundle, &target]);
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // The kernel's own bytes are the same in both: wait for the root's second MiB.
        wait_for(&mut child, &target, slot.start + 2 * MIB);
        stop(child.id(), signal).unwrap();
        let ended = child.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), code);
        if code.is_some() {
            let told = format!(
                "interrupted by SIGTERM: unfinished, and not bootable: {}; run",
                target.display()
            );
            assert!(stderr(&ended).contains(&told), "{}", stderr(&ended));
        }
        assert!(
            table(&target).is_none(),
            "a half-written disk has no partition table"
        );
    }
    let outcome = good(&flash(&sample.key_file, &sample.bundle, &target, &arguments));
    let slot = table(&target).unwrap().layout.extent(Name::SlotA);
    let equal = outcome["report"]["equal"].as_u64().unwrap();
    assert!(
        equal >= 2 * MIB,
        "what the killed run wrote is not written again: {equal}"
    );
    let mut written = vec![0; sample.slot.len()];
    File::open(&target)
        .unwrap()
        .read_exact_at(&mut written, slot.start)
        .unwrap();
    assert!(written == sample.slot);
}

/// Waits until a byte of the target is no longer zero.
fn wait_for(child: &mut Child, target: &Path, offset: u64) {
    let file = File::open(target).unwrap();
    let began = Instant::now();
    let mut bytes = [0; 4096];
    loop {
        file.read_exact_at(&mut bytes, offset).unwrap();
        if bytes.iter().any(|byte| *byte != 0) {
            return;
        }
        assert!(
            child.try_wait().unwrap().is_none(),
            "the program ended before it could be killed"
        );
        assert!(began.elapsed() < Duration::from_secs(120), "nothing was written");
        sleep(Duration::from_millis(1));
    }
}

#[test]
fn completions_and_lists_are_printed() {
    for shell in ["bash", "zsh", "fish"] {
        let output = program().arg(format!("--completions={shell}")).output().unwrap();
        assert!(
            output.status.success() && output.stdout.len() > 500,
            "{shell}: {}",
            stderr(&output)
        );
    }
    if Path::new("/sys/block").is_dir() {
        let output = program().args(["list", "--output=json"]).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(serde_json::from_slice::<Vec<Value>>(&output.stdout).is_ok());
    }
}
