//! The real program and its output.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use layout::Table;
use serde_json::Value;

use super::Sample;

pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bedplate-flash"));
    command.stdin(Stdio::null()).env_remove("BEDPLATE_KEY");
    command
}

/// Flashes a bundle file to a target with further arguments.
pub fn flash(key: &Path, bundle: &Path, target: &Path, arguments: &[&str]) -> Output {
    program()
        .arg("--key")
        .arg(key)
        .args(arguments)
        .args([bundle, target])
        .output()
        .unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub fn good(output: &Output) -> Value {
    assert!(output.status.success(), "{}", stderr(output));
    serde_json::from_slice(&output.stdout).unwrap()
}

pub fn table(target: &Path) -> Option<Table> {
    Table::read(&mut File::open(target).unwrap()).ok()
}

pub fn target(sample: &Sample) -> PathBuf {
    sample.dir.path().join("disk.img")
}

pub fn config(sample: &Sample, text: &str) -> PathBuf {
    let path = sample.dir.path().join("node.yaml");
    fs::write(&path, text).unwrap();
    path
}

/// A flash command with the given arguments, ready to be started.
pub fn command(sample: &Sample, target: &Path, arguments: &[&str]) -> Command {
    let mut command = program();
    command.arg("--key").arg(&sample.key_file).args(arguments);
    command.args([&sample.bundle, target]);
    command
}
