//! What is said when somebody interrupts a flash.
//!
//! Nothing has to be undone: the old partition table is erased first and the new one is written last, so that a medium which is
//! unfinished does not boot.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::signal_name;

use crate::watch::{Stage, Watch};

/// The targets that are being written, and how far they are.
static TARGETS: Mutex<BTreeMap<PathBuf, Stage>> = Mutex::new(BTreeMap::new());

/// Lets signals that end the program say first what became of the targets.
///
/// # Errors
///
/// The signals cannot be caught.
pub(crate) fn listen() -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        if let Some(signal) = signals.forever().next() {
            // Held until the end: nobody begins another stage meanwhile.
            let targets = targets();
            stdio::note(format_args!("error: {}", words(signal, &targets)));
            // As shells count a program that a signal ended.
            std::process::exit(128 + signal);
        }
    })?;
    Ok(())
}

/// Notes that a target has reached a stage.
pub(crate) fn reached(target: &Path, stage: Stage) {
    targets().insert(target.to_owned(), stage);
}

/// Notes that a target is not written any more: it is finished, or its error was told.
pub(crate) fn left(target: &Path) {
    targets().remove(target);
}

fn targets() -> MutexGuard<'static, BTreeMap<PathBuf, Stage>> {
    TARGETS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn words(signal: i32, targets: &BTreeMap<PathBuf, Stage>) -> String {
    let mut text = format!("interrupted by {}: ", signal_name(signal).unwrap_or("a signal"));
    let those = |wanted: fn(Stage) -> bool| {
        let some = targets.iter().filter(move |(_, stage)| wanted(**stage));
        let names: Vec<String> = some.map(|(target, _)| target.display().to_string()).collect();
        names.join(", ")
    };
    let unfinished = those(|stage| !matches!(stage, Stage::Check | Stage::Inspect));
    let finished = those(|stage| stage == Stage::Inspect);
    let mut parts = Vec::new();
    if !unfinished.is_empty() {
        parts.push(format!("unfinished, and not bootable: {unfinished}"));
    }
    if !finished.is_empty() {
        parts.push(format!("written, but not inspected: {finished}"));
    }
    match parts.as_slice() {
        [] => text.push_str("nothing was written"),
        _ => text.push_str(&format!("{}; {AGAIN}", parts.join("; "))),
    }
    text
}

/// The way out.
const AGAIN: &str = "run the same command again: what is there already is not written again";

/// Notes the stages of a target on their way to somebody else.
pub(crate) struct Noted<'a> {
    target: &'a Path,
    watch: &'a mut dyn Watch,
}

impl<'a> Noted<'a> {
    /// Notes those of a target.
    pub fn new(target: &'a Path, watch: &'a mut dyn Watch) -> Self {
        Self { target, watch }
    }
}

impl Watch for Noted<'_> {
    fn stage(&mut self, stage: Stage, bytes: u64) {
        reached(self.target, stage);
        self.watch.stage(stage, bytes);
    }

    fn advance(&mut self, bytes: u64) {
        self.watch.advance(bytes);
    }
}

impl Drop for Noted<'_> {
    fn drop(&mut self) {
        left(self.target);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unfinished_is_named() {
        let said = |stages: &[(&str, Stage)]| {
            let targets = stages.iter().map(|(name, stage)| (PathBuf::from(name), *stage));
            words(SIGTERM, &targets.collect())
        };
        let nothing = "interrupted by SIGTERM: nothing was written";
        assert_eq!(said(&[]), nothing);
        assert_eq!(said(&[("/dev/sda", Stage::Check)]), nothing);
        let table = [
            (
                vec![("/dev/sda", Stage::Check), ("/dev/sdb", Stage::Erase)],
                "unfinished, and not bootable: /dev/sdb",
            ),
            (
                vec![("a", Stage::Finish), ("b", Stage::Write)],
                "unfinished, and not bootable: a, b",
            ),
            (vec![("a", Stage::Inspect)], "written, but not inspected: a"),
            (
                vec![("a", Stage::Inspect), ("b", Stage::ReadBack)],
                "unfinished, and not bootable: b; written, but not inspected: a",
            ),
        ];
        for (stages, expected) in table {
            assert_eq!(
                said(&stages),
                format!("interrupted by SIGTERM: {expected}; {AGAIN}")
            );
        }
    }
}
