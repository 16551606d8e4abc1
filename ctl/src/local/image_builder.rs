//! Runs `bedplate-image`, which builds images.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::Context as _;

const PROGRAM: &str = "bedplate-image";

/// Runs the program that stands beside this one, or that is installed, and returns what it printed.
///
/// # Errors
/// Fails when it is not there, or does.
pub(super) fn run<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(arguments: I) -> anyhow::Result<String> {
    let beside = std::env::current_exe()
        .ok()
        .map(|own| own.with_file_name(PROGRAM));
    let program = beside
        .filter(|path| path.is_file())
        .unwrap_or_else(|| PathBuf::from(PROGRAM));
    let ran = Command::new(&program)
        .args(arguments)
        .stderr(Stdio::inherit())
        .output();
    let ran = ran.with_context(|| {
        format!("cannot run {PROGRAM}: build the image where it is installed, and give it with --image FILE")
    })?;
    anyhow::ensure!(ran.status.success(), "{PROGRAM} could not build the image");
    String::from_utf8(ran.stdout).with_context(|| format!("{PROGRAM} does not print text"))
}
