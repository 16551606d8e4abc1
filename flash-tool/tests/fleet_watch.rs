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
fn attach(file: &Path, device: Option<&Path>) -> Option<PathBuf> {
    File::create(file).unwrap().set_len(320 * MIB).unwrap();
    let mut command = Command::new("losetup");
    match device {
        Some(device) => command.arg(device).arg(file),
        None => command.args(["--find", "--show"]).arg(file),
    };
    let mut attached = || command.output().ok().filter(|output| output.status.success());
    let mut output = attached();
    // A device that somebody has open, if only to look at it, is detached when that is closed.
    for _ in 0..if device.is_some() { 100 } else { 0 } {
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

#[test]
fn cards_that_are_exchanged_get_the_next_rows() {
    let shop = Shop::new("- hostname: node1\n- hostname: node2\n- hostname: node3\n");
    let files = ["1.disk", "2.disk", "3.disk"].map(|name| shop.path(name));
    let Some(device) = attach(&files[0], None).filter(|device| device.exists()) else {
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
    for (number, file) in files.iter().enumerate() {
        let line = lines.find_map(|line| {
            let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
            assert_ne!(event["event"], "failed", "{event}");
            (event["event"] == "flashed").then_some(event)
        });
        let line = line.expect("the program ended before all rows were used");
        assert_eq!(line["receipt"]["hostname"], format!("node{}", number + 1));
        assert_eq!(hostname(file), format!("node{}", number + 1));
        drop(card);
        let Some(next) = files.get(number + 1) else { break };
        attach(next, Some(&device)).unwrap();
        card = Card(device.clone());
    }
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
}
