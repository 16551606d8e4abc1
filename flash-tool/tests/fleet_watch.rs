//! Cards that are exchanged in a watched reader, where the host has loop devices.

#![expect(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;
use support::MIB;
use support::fleet::{Shop, hostname};
use support::program::stderr;

/// Attaches a file to a loop device, a named one if there is one already; `None` where that is not possible.
fn attach(file: &Path, size: u64, device: Option<&Path>) -> Option<PathBuf> {
    File::create(file).unwrap().set_len(size).unwrap();
    let mut command = Command::new("losetup");
    match device {
        Some(device) => command.arg(device).arg(file),
        None => command.args(["--find", "--show"]).arg(file),
    };
    let mut attached = || command.output().ok().filter(|output| output.status.success());
    let mut output = attached();
    // A device that somebody has open, if only to look at it, is detached when that is closed.
    for _ in 0..if device.is_some_and(Path::exists) { 100 } else { 0 } {
        if output.is_some() {
            break;
        }
        sleep(Duration::from_millis(50));
        output = attached();
    }
    let Some(output) = output else {
        eprintln!("skipped: no loop devices here (not root, no losetup, or a host without them)");
        return None;
    };
    let shown = String::from_utf8(output.stdout).unwrap();
    Some(device.map_or_else(|| PathBuf::from(shown.trim()), Path::to_owned))
}

/// A reader: a loop device whose file is its card.
struct Card(PathBuf);

impl Drop for Card {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("-d").arg(&self.0).status();
    }
}

/// Reads lines until an event.
fn next(lines: &mut impl Iterator<Item = std::io::Result<String>>, event: &str) -> Value {
    let found = lines.find_map(|line| {
        let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
        assert_ne!(line["event"], "failed", "{line}");
        (line["event"] == event).then_some(line)
    });
    found.expect("the program ended before all rows were used")
}

#[test]
fn cards_that_are_exchanged_get_the_next_rows() {
    let shop = Shop::new("- hostname: node1\n- hostname: node2\n- hostname: node3\n");
    let disks = [("1.disk", 320), ("small", 64), ("2.disk", 320), ("3.disk", 320)];
    let mut disks = disks
        .map(|(name, size)| (shop.path(name), size * MIB))
        .into_iter();
    let (first, size) = disks.next().unwrap();
    // Others look for the lowest free device: between two cards, none of them must take this one.
    let high = PathBuf::from(format!("/dev/loop{}", 100 + std::process::id() % 100));
    let device = attach(&first, size, Some(&high)).or_else(|| attach(&first, size, None));
    let Some(device) = device.filter(|device| device.exists()) else {
        return;
    };
    let mut card = Card(device.clone());
    let mut child = shop
        .command(
            &["--yes", "--watch", "--output=json"],
            std::slice::from_ref(&device),
        )
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (mut file, mut flashed) = (first, 0);
    loop {
        if file.ends_with("small") {
            let unused = next(&mut lines, "unused");
            let reason = unused["reason"].as_str().unwrap();
            assert!(reason.contains("this image needs"), "{reason}");
        } else {
            flashed += 1;
            let line = next(&mut lines, "flashed");
            assert_eq!(line["receipt"]["hostname"], format!("node{flashed}"));
            assert_eq!(hostname(&file), format!("node{flashed}"));
        }
        drop(card);
        let Some((next, size)) = disks.next() else { break };
        attach(&next, size, Some(&device)).unwrap();
        card = Card(device.clone());
        file = next;
    }
    assert_eq!(flashed, 3);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
}
