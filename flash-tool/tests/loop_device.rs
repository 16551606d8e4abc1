//! A block device from end to end: a loop device, if the host has them and allows us.

#![expect(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use flash_tool::host::{Found, Host, Use};
use layout::Table;
use support::{MIB, Recipe, Sample, sample};

/// A loop device over a sparse file; detached at the end.
struct Loop {
    device: PathBuf,
    dir: tempfile::TempDir,
    file: PathBuf,
}

impl Loop {
    /// Attaches one; `None`, and a line that says so, where that is not possible.
    fn new(size: u64, arguments: &[&str]) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("disk");
        File::create(&file).unwrap().set_len(size).unwrap();
        let output = Command::new("losetup")
            .args(["--find", "--show"])
            .args(arguments)
            .arg(&file)
            .output();
        let device = output.ok().filter(|output| output.status.success());
        let device = device.map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
        let Some(device) = device.filter(|device| device.exists()) else {
            eprintln!("skipped: no loop devices here (not root, no losetup, or a host without them)");
            return None;
        };
        Some(Self { device, dir, file })
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("-d").arg(&self.device).status();
    }
}

fn flash(sample: &Sample, target: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bedplate-flash"));
    command
        .stdin(Stdio::null())
        .arg("--key")
        .arg(&sample.key_file)
        .args(arguments);
    command.args([&sample.bundle, target]).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_disk_is_flashed_and_the_rest_discarded() {
    let sample = sample(&Recipe::default());
    let Some(disk) = Loop::new(320 * MIB, &[]) else {
        return;
    };
    for arguments in [&["--yes"][..], &["--yes", "--discard"], &["--yes"]] {
        let output = flash(&sample, &disk.device, arguments);
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        assert!(Table::read(&mut File::open(&disk.file).unwrap()).is_ok());
    }
}

#[test]
fn a_disk_in_use_is_refused_with_the_reason() {
    let sample = sample(&Recipe::default());
    let Some(disk) = Loop::new(320 * MIB, &[]) else {
        return;
    };

    // Its backing file is in use as well, by any of its names.
    let (alias, moved) = (disk.dir.path().join("alias"), disk.dir.path().join("moved"));
    fs::hard_link(&disk.file, &alias).unwrap();
    let refused = |file: &Path| {
        let output = flash(&sample, file, &["--yes"]);
        let said = said(&output);
        assert!(!output.status.success() && said.contains("losetup -d"), "{said}");
    };
    refused(&disk.file);
    refused(&alias);
    fs::rename(&disk.file, &moved).unwrap();
    refused(&moved);
    refused(&alias);

    let made = Command::new("mkfs.ext4")
        .arg(&disk.device)
        .output()
        .is_ok_and(|output| output.status.success());
    let at = disk.dir.path().join("mnt");
    fs::create_dir(&at).unwrap();
    let mounted = made
        && Command::new("mount")
            .arg(&disk.device)
            .arg(&at)
            .status()
            .is_ok_and(|s| s.success());
    if !mounted {
        eprintln!("skipped: cannot mount an ext4 file system here");
        return;
    }
    let output = flash(&sample, &disk.device, &["--yes"]);
    assert!(Command::new("umount").arg(&at).status().unwrap().success());
    assert!(
        !output.status.success() && said(&output).contains("unmount it first"),
        "{}",
        said(&output)
    );
}

#[test]
fn read_only_small_and_busy_disks_are_refused() {
    let sample = sample(&Recipe::default());
    let (Some(small), Some(locked)) = (Loop::new(64 * MIB, &[]), Loop::new(320 * MIB, &["--read-only"]))
    else {
        return;
    };
    for (disk, reason) in [(&small, "this image needs"), (&locked, "read-only")] {
        let output = flash(&sample, &disk.device, &["--yes"]);
        assert!(
            !output.status.success() && said(&output).contains(reason),
            "{}",
            said(&output)
        );
    }
    let Some(disk) = Loop::new(320 * MIB, &[]) else {
        return;
    };
    let ours = sys::disk::open_exclusively(&disk.device).unwrap();
    let output = flash(&sample, &disk.device, &["--yes"]);
    assert!(
        !output.status.success() && said(&output).contains("it is in use"),
        "{}",
        said(&output)
    );
    drop(ours);
    // An emulator does not open a disk exclusively, but locks it.
    let ours = File::options().read(true).write(true).open(&disk.device).unwrap();
    assert!(sys::lock::try_whole(&ours).unwrap());
    let output = flash(&sample, &disk.device, &["--yes"]);
    assert!(
        !output.status.success() && said(&output).contains("another program is writing to"),
        "{}",
        said(&output)
    );
}

#[test]
fn swap_is_recognised() {
    let Some(disk) = Loop::new(64 * MIB, &[]) else {
        return;
    };
    let made = Command::new("mkswap")
        .arg(&disk.device)
        .output()
        .is_ok_and(|output| output.status.success());
    if !made
        || !Command::new("swapon")
            .arg(&disk.device)
            .status()
            .is_ok_and(|status| status.success())
    {
        eprintln!("skipped: cannot use swap here");
        return;
    }
    let number = sys::disk::number(&File::open(&disk.device).unwrap())
        .unwrap()
        .unwrap();
    let found = Host::default().find(number);
    assert!(
        Command::new("swapoff")
            .arg(&disk.device)
            .status()
            .unwrap()
            .success()
    );
    let Found::Disk(found) = found.unwrap() else {
        panic!("a loop device is a disk")
    };
    assert!(
        found.uses.iter().any(|used| matches!(used, Use::Swap { .. })),
        "{:?}",
        found.uses
    );
}
