//! Files as targets of the real program: who may read them, who else uses them, and where they must not be.

#![expect(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use support::program::{command, config, flash, good, stderr, table, target};
use support::{CONFIG, MIB, Recipe, Sample, noise, sample};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn with_config(sample: &Sample) -> String {
    format!("--config={}", config(sample, CONFIG).display())
}

#[test]
fn an_image_with_a_config_is_readable_by_its_owner_only() {
    let sample = sample(&Recipe::default());
    let config = with_config(&sample);
    let (new, open) = (target(&sample), sample.dir.path().join("open.img"));
    File::create(&open).unwrap().set_len(512 * MIB).unwrap();
    fs::set_permissions(&open, PermissionsExt::from_mode(0o644)).unwrap();
    for target in [&new, &open] {
        let output = flash(&sample.key_file, &sample.bundle, target, &["--yes", &config]);
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(stderr(&output).contains("mode 0600"), "{}", stderr(&output));
        assert_eq!(mode(target), 0o600, "{}", target.display());
    }
    let plain = sample.dir.path().join("plain.img");
    let output = flash(
        &sample.key_file,
        &sample.bundle,
        &plain,
        &["--yes", "--output=json"],
    );
    assert_eq!(good(&output)["plan"]["target"]["private"], false);
    assert!(
        !stderr(&output).contains("0600"),
        "without a config there is no secret"
    );
}

#[test]
fn a_file_that_cannot_be_kept_private_gets_no_config() {
    // A file of another user that anybody may write to: its mode is not ours to change.
    let sample = sample(&Recipe::default());
    let (folder, target) = (sample.dir.path(), target(&sample));
    let program = folder.join("bedplate-flash");
    fs::copy(env!("CARGO_BIN_EXE_bedplate-flash"), &program).unwrap();
    fs::write(&target, "").unwrap();
    let config = with_config(&sample);
    for (path, mode) in [(folder, 0o755), (&target, 0o666)] {
        fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }
    let mut command = Command::new(&program);
    command
        .arg("--key")
        .arg(&sample.key_file)
        .args(["--yes", "--size=512M", &config]);
    command
        .args([&sample.bundle, &target])
        .stdin(Stdio::null())
        .uid(65534);
    let output = match command.output() {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            eprintln!("skipped: only root can become somebody else");
            return;
        }
        output => output.unwrap(),
    };
    assert!(!output.status.success());
    assert!(
        stderr(&output).contains("a file system with owners"),
        "{}",
        stderr(&output)
    );
    assert_eq!(fs::read(&target).unwrap(), b"");
}

#[test]
fn of_two_flashes_at_once_one_succeeds() {
    let sample = sample(&Recipe {
        root: noise(24 << 20, 8),
        slot_size: 64 * MIB,
        ..Recipe::default()
    });
    let target = target(&sample);
    let start = || {
        let mut command = command(&sample, &target, &["--yes"]);
        command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    for _ in 0..3 {
        let outputs = [start(), start()].map(|child: Child| child.wait_with_output().unwrap());
        // The slower one may start after the faster one has ended: then both succeed.
        let failed = outputs.iter().filter(|output| !output.status.success());
        let failed = failed.map(stderr).collect::<Vec<_>>();
        assert!(failed.len() < 2, "{failed:?}");
        assert!(
            failed
                .iter()
                .all(|said| said.contains("another program is writing to")),
            "{failed:?}"
        );
        assert!(table(&target).is_some(), "what one has written is whole");
    }
}

#[test]
fn a_file_that_another_program_locked_is_refused_before_it_is_touched() {
    let sample = sample(&Recipe::default());
    let target = target(&sample);
    fs::write(&target, "precious").unwrap();
    let holder = File::options().read(true).write(true).open(&target).unwrap();
    assert!(sys::lock::try_whole(&holder).unwrap());
    for arguments in [&["--yes", "--size=512M"][..], &["--dry-run", "--size=512M"]] {
        let output = flash(&sample.key_file, &sample.bundle, &target, arguments);
        assert!(!output.status.success());
        assert!(
            stderr(&output).contains("another program is writing to"),
            "{}",
            stderr(&output)
        );
    }
    assert_eq!(fs::read(&target).unwrap(), b"precious");
}

#[test]
fn the_disk_of_a_running_emulator_is_refused() {
    let sample = sample(&Recipe::default());
    let target = target(&sample);
    good(&flash(
        &sample.key_file,
        &sample.bundle,
        &target,
        &["--yes", "--output=json"],
    ));
    let before = fs::read(&target).unwrap();
    let drive = format!("file={},format=raw,if=none,id=disk", target.display());
    let machine = [
        "-machine",
        "virt",
        "-nodefaults",
        "-display",
        "none",
        "-S",
        "-qmp",
        "stdio",
    ];
    let emulator = Command::new("qemu-system-aarch64")
        .args(machine)
        .args(["-drive", &drive, "-device", "virtio-blk-device,drive=disk"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut emulator = match emulator {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            eprintln!("skipped: qemu-system-aarch64 is not installed");
            return;
        }
        emulator => emulator.unwrap(),
    };
    // Its banner appears after its disks are open.
    let mut greeting = String::new();
    let mut said = BufReader::new(emulator.stdout.take().unwrap());
    said.read_line(&mut greeting).unwrap();
    let output = flash(&sample.key_file, &sample.bundle, &target, &["--yes"]);
    emulator.kill().unwrap();
    emulator.wait().unwrap();
    assert!(greeting.contains("QMP"), "{greeting}");
    assert!(!output.status.success());
    assert!(stderr(&output).contains("or runs from it"), "{}", stderr(&output));
    assert!(fs::read(&target).unwrap() == before);
}

#[test]
fn a_mistyped_disk_never_becomes_a_file_in_dev() {
    let sample = sample(&Recipe::default());
    let name = format!("bedplate-test-{}", std::process::id());
    let real = Path::new("/dev").join(&name);
    let link = sample.dir.path().join("link");
    symlink(&real, &link).unwrap();
    let around = Path::new("/tmp/../dev").join(&name);
    for (folder, target) in [
        (Path::new("/dev"), Path::new(&name)),
        (Path::new("/"), Path::new(&format!("dev/{name}"))),
        (Path::new("/tmp"), &link),
        (Path::new("/tmp"), &around),
    ] {
        let output = command(&sample, target, &["--yes"])
            .current_dir(folder)
            .output()
            .unwrap();
        let made = real.exists();
        let _ = fs::remove_file(&real);
        assert!(
            !made && !output.status.success(),
            "{} in {}",
            target.display(),
            folder.display()
        );
        assert!(
            stderr(&output).contains("bedplate-flash list"),
            "{}",
            stderr(&output)
        );
    }
}

#[test]
fn a_name_that_is_not_utf_8_is_flashed_and_reported() {
    let sample = sample(&Recipe::default());
    let target = sample.dir.path().join(OsStr::from_bytes(b"disk-\xff.img"));
    let outcome = good(&flash(
        &sample.key_file,
        &sample.bundle,
        &target,
        &["--yes", "--output=json"],
    ));
    let path = outcome["plan"]["target"]["path"].as_str().unwrap();
    assert!(path.ends_with("disk-\u{fffd}.img"), "{path}");
    assert!(outcome["report"]["written"].as_u64().unwrap() > 0);
    assert!(table(&target).is_some());
}

#[test]
fn a_result_that_cannot_be_printed_has_its_own_exit_code() {
    let sample = sample(&Recipe::default());
    let target = target(&sample);
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let closed = || {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        writer
    };
    for arguments in [&["--yes"][..], &["--yes", "--output=json"]] {
        for stdout in [Stdio::from(full()), Stdio::from(closed())] {
            let output = command(&sample, &target, arguments)
                .stdout(stdout)
                .output()
                .unwrap();
            assert_eq!(output.status.code(), Some(74), "{}", stderr(&output));
            assert!(
                stderr(&output).contains("the flash is complete and good"),
                "{}",
                stderr(&output)
            );
            assert!(table(&target).is_some());
        }
    }
    // Lost notes do not matter.
    let output = command(&sample, &target, &["--yes", "--output=json"])
        .stderr(closed())
        .output()
        .unwrap();
    good(&output);
    for arguments in [
        &["list"][..],
        &["list", "--output=json"],
        &["--completions=bash"],
        &["--help"],
        &["--version"],
    ] {
        let output = support::program::program()
            .args(arguments)
            .stdout(full())
            .output()
            .unwrap();
        assert_eq!(
            output.status.code(),
            Some(74),
            "{arguments:?}: {}",
            stderr(&output)
        );
    }
}
