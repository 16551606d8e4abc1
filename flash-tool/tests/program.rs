//! The real program, writing to files.

#![expect(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use layout::{Name, Table};
use serde_json::Value;
use support::{CONFIG, MIB, Recipe, Sample, noise, sample};

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bedplate-flash"));
    command.stdin(Stdio::null()).env_remove("BEDPLATE_TRUSTED_KEYS");
    command
}

/// Flashes a bundle file to a target with further arguments.
fn flash(key: &Path, bundle: &Path, target: &Path, arguments: &[&str]) -> Output {
    program()
        .arg("--key")
        .arg(key)
        .args(arguments)
        .args([bundle, target])
        .output()
        .unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn good(output: &Output) -> Value {
    assert!(output.status.success(), "{}", stderr(output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn table(target: &Path) -> Option<Table> {
    Table::read(&mut File::open(target).unwrap()).ok()
}

fn target(sample: &Sample) -> PathBuf {
    sample.dir.path().join("disk.img")
}

fn config(sample: &Sample, text: &str) -> PathBuf {
    let path = sample.dir.path().join("node.yaml");
    fs::write(&path, text).unwrap();
    path
}

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
    assert_eq!(parsed.machine.ca.key.unwrap().expose().lines().count(), 3);
}

#[test]
fn faulty_configs_are_refused_with_all_faults_before_anything_is_written() {
    let sample = sample(&Recipe::default());
    let target = target(&sample);
    let faulty = CONFIG.replace("standalone", "king") + "  hostnam: node1\n";
    let config = format!("--config={}", config(&sample, &faulty).display());
    let output = flash(&sample.key_file, &sample.bundle, &target, &["--yes", &config]);
    let said = stderr(&output);
    assert!(
        !output.status.success() && said.contains("king") && said.contains("hostnam"),
        "{said}"
    );
    assert!(said.contains("node.yaml:4"), "faults name their line: {said}");
    assert!(!target.exists());

    let config = format!("--config={}", self::config(&sample, CONFIG).display());
    let output = flash(
        &sample.key_file,
        &sample.bundle,
        &target,
        &["--yes", &config, "--address=10.0.0.7/24"],
    );
    assert!(
        !output.status.success() && stderr(&output).contains("name the interface"),
        "{}",
        stderr(&output)
    );
    assert!(!target.exists());
}

#[test]
fn a_flipped_byte_anywhere_is_refused_and_nothing_is_written() {
    let sample = sample(&Recipe::default());
    let target = target(&sample);
    let tampered = sample.dir.path().join("tampered.bundle");
    let len = sample.bytes.len();
    // The texts, the index, and a sample of the frames: the first, the last, and in between.
    let places = [
        0,
        9,
        13,
        20,
        70,
        4096 + 17,
        53_248 + 40,
        53_248 + 200,
        69_632 + 8,
        69_632 + 40,
    ];
    let frames = (1..12)
        .map(|part| len * part / 12)
        .filter(|at| *at > 90_000)
        .chain([len - 1]);
    for at in places.into_iter().chain(frames) {
        let mut bytes = sample.bytes.clone();
        bytes[at] ^= 0x20;
        // Inside the untrusted comment, flip the keyword instead: its text is nobody's word.
        if at == 53_248 + 40 {
            bytes[at] ^= 0x20;
            bytes[53_248] ^= 0x20;
        }
        fs::write(&tampered, bytes).unwrap();
        let output = flash(&sample.key_file, &tampered, &target, &["--yes"]);
        assert!(!output.status.success(), "byte {at}");
        assert!(!target.exists(), "byte {at}: {}", stderr(&output));
    }
}

#[test]
fn a_damaged_bundle_leaves_a_flashed_disk_alone() {
    let sample = sample(&Recipe::default());
    let target = target(&sample);
    good(&flash(
        &sample.key_file,
        &sample.bundle,
        &target,
        &["--yes", "--output=json"],
    ));
    let before = fs::read(&target).unwrap();
    let mut bytes = sample.bytes.clone();
    *bytes.last_mut().unwrap() ^= 1;
    let tampered = sample.dir.path().join("tampered.bundle");
    fs::write(&tampered, bytes).unwrap();
    let output = flash(&sample.key_file, &tampered, &target, &["--yes"]);
    assert!(
        !output.status.success() && stderr(&output).contains("is damaged"),
        "{}",
        stderr(&output)
    );
    assert!(fs::read(&target).unwrap() == before);
}

#[test]
fn keys_are_needed_and_must_be_the_right_ones() {
    let (one, other) = (sample(&Recipe::default()), sample(&Recipe::default()));
    let target = target(&one);
    let output = flash(&other.key_file, &one.bundle, &target, &["--yes"]);
    assert!(
        !output.status.success() && stderr(&output).contains("no trusted key"),
        "{}",
        stderr(&output)
    );
    let output = program()
        .arg("--yes")
        .args([&one.bundle, &target])
        .output()
        .unwrap();
    assert!(
        !output.status.success() && stderr(&output).contains("--key FILE"),
        "{}",
        stderr(&output)
    );
    let output = flash(&one.bundle, &one.bundle, &target, &["--yes"]);
    assert!(!output.status.success());
    assert!(!target.exists());

    // One of several is enough.
    let both = [format!("--key={}", one.key_file.display()), "--yes".into()];
    let both = both.iter().map(String::as_str).collect::<Vec<_>>();
    assert!(
        flash(&other.key_file, &one.bundle, &target, &both)
            .status
            .success()
    );
}

#[test]
fn without_yes_and_terminal_nothing_happens_and_dry_runs_only_tell() {
    let sample = sample(&Recipe::default());
    let target = target(&sample);
    let output = flash(&sample.key_file, &sample.bundle, &target, &[]);
    assert!(
        !output.status.success() && stderr(&output).contains("add --yes"),
        "{}",
        stderr(&output)
    );
    assert!(!target.exists());
    let outcome = good(&flash(
        &sample.key_file,
        &sample.bundle,
        &target,
        &["--dry-run", "--output=json"],
    ));
    assert_eq!(outcome["plan"]["partitions"].as_array().unwrap().len(), 7);
    assert!(outcome["report"].is_null());
    assert!(!target.exists());
}

#[test]
fn targets_that_will_not_do_are_refused_with_the_reason() {
    let sample = sample(&Recipe::default());
    let small = sample.dir.path().join("small");
    fs::write(&small, b"my thesis").unwrap();
    for (target, arguments, reason) in [
        (Path::new("/dev/null"), &[][..], "neither a disk nor a file"),
        (sample.dir.path(), &[], "a directory"),
        (Path::new("/dev/nonesuch"), &[], "bedplate-flash list"),
        (&sample.bundle, &["--size=512M"], "needed for flashing"),
        (&sample.key_file, &["--size=512M"], "needed for flashing"),
        (&small, &[], "give --size"),
        (&target(&sample), &["--size=64M"], "this image needs"),
    ] {
        let arguments = [&["--yes"], arguments].concat();
        let output = flash(&sample.key_file, &sample.bundle, target, &arguments);
        let said = stderr(&output);
        assert!(
            !output.status.success() && said.contains(reason),
            "{}: {said}",
            target.display()
        );
    }
    assert_eq!(fs::read(&small).unwrap(), b"my thesis");
    assert_eq!(fs::read(&sample.bundle).unwrap(), sample.bytes);
    assert!(!target(&sample).exists());
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
fn a_flash_that_is_killed_does_not_boot_and_the_next_run_completes() {
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
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // The kernel's own bytes are the same in both: wait for the root's second MiB.
    wait_for(&mut child, &target, slot.start + 2 * MIB);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(
        table(&target).is_none(),
        "a half-written disk has no partition table"
    );

    let outcome = good(&flash(&sample.key_file, &sample.bundle, &target, &arguments));
    assert!(table(&target).is_some());
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
