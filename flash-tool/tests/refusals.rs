//! What the real program refuses, without writing anything.

mod support;

use std::fs;
use std::path::Path;

use support::program::{config, flash, good, program, stderr, target};
use support::{CONFIG, Recipe, sample};

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
fn a_config_that_would_lock_its_owner_out_is_not_flashed() {
    let sample = sample(&Recipe::default());
    let target = target(&sample);
    let start = CONFIG.find("    key: |").unwrap();
    let other = pki::PrivateKey::generate().unwrap().to_pem();
    let other: String = other.lines().map(|line| format!("      {line}\n")).collect();
    let mixed = format!("{}    key: |\n{other}", &CONFIG[..start]);
    let line = CONFIG[..start].lines().count() + 1;
    let config = format!("--config={}", config(&sample, &mixed).display());
    let output = flash(&sample.key_file, &sample.bundle, &target, &["--yes", &config]);
    let said = stderr(&output);
    let expected = format!("node.yaml:{line}: machine.ca.key: belongs to another certificate");
    assert!(!output.status.success() && said.contains(&expected), "{said}");
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
        // Inside the untrusted comment, flip the keyword instead: its text is not signed.
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
fn without_yes_and_terminal_nothing_happens_and_dry_runs_only_report() {
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
fn unsuitable_targets_are_refused_with_the_reason() {
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
