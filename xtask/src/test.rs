//! `cargo xtask test`: everything a change must pass, in the order in which a fault is found soonest.
//!
//! Each step writes a log of its own; what failed is shown, and the steps after it still run. The last line sums up.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::process::Program;
use crate::setup;
use crate::{e2e, paths};

/// Checks everything: format, clippy, unit tests, our own lints, fuzz targets, and real images in an emulator.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Leave out the tests that boot images
    #[arg(long)]
    no_e2e: bool,
}

/// How many checks passed and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    passed: usize,
    failed: usize,
}

impl Args {
    /// Runs every step and fails when one did.
    pub fn run(self) -> Result<()> {
        setup::ensure(false)?;
        let mut report = Report::default();
        report.step("fmt", cargo(&["fmt", "--all", "--check"], 2));
        let clippy = [
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "-D",
            "warnings",
        ];
        report.step("clippy", cargo(&clippy, 40));
        report.step("lint", xtask(&["lint"], 5));
        report.step(
            "test",
            cargo(&["test", "--workspace", "--locked", "--no-fail-fast"], 60),
        );
        report.step("fuzz", xtask(&["fuzz"], 60));
        if !self.no_e2e && report.step("build", xtask(&["build", "--for-tests"], 90)) {
            report.step("e2e", e2e::scenarios(&[]));
        }
        report.finish()
    }
}

#[derive(Default)]
struct Report {
    total: Count,
}

impl Report {
    /// Runs a program into a log of its own, and counts what it checked; tells whether all of it passed.
    fn step(&mut self, name: &str, program: Program) -> bool {
        let log = paths::test_logs().join(format!("{name}.log"));
        // What an earlier run left here is not counted again.
        fs::remove_file(&log).ok();
        let start = Instant::now();
        tell(&format!("{name} ..."));
        let result = program.log(log.clone()).run();
        let mut count = count(&fs::read_to_string(&log).unwrap_or_default());
        match &result {
            Ok(()) if count == Count::default() => count.passed = 1,
            Err(_) if count.failed == 0 => count.failed = 1,
            _ => {}
        }
        let seconds = start.elapsed().as_secs();
        tell(&format!(
            "{name}: {} passed, {} failed in {seconds} s",
            count.passed, count.failed
        ));
        if let Err(error) = &result {
            tell(&format!("{error:#}\n"));
        }
        self.total.passed += count.passed;
        self.total.failed += count.failed;
        result.is_ok()
    }

    fn finish(self) -> Result<()> {
        stdio::line(format_args!(
            "{} passed, {} failed",
            self.total.passed, self.total.failed
        ))?;
        if self.total.failed > 0 {
            bail!("the logs are in {}", paths::test_logs().display());
        }
        Ok(())
    }
}

/// Tells how far it is. Steps go on when nobody reads that: the totals at the end are what must not be lost.
fn tell(line: &str) {
    stdio::line(line).ok();
}

/// Adds up what a log says of itself: cargo's `test result:` lines, or a line `N passed, N failed`.
fn count(log: &str) -> Count {
    let mut total = Count::default();
    for line in log.lines() {
        let line = line
            .strip_prefix("test result: ")
            .map_or(line, |rest| rest.split_once(". ").map_or(rest, |(_, rest)| rest));
        if let Some(count) = parse_count(line) {
            total.passed += count.passed;
            total.failed += count.failed;
        }
    }
    total
}

fn parse_count(line: &str) -> Option<Count> {
    let (passed, rest) = line.split_once(" passed")?;
    let failed = rest.trim_start_matches([',', ';', ' ']).split_once(" failed")?.0;
    Some(Count {
        passed: passed.parse().ok()?,
        failed: failed.parse().ok()?,
    })
}

fn cargo(args: &[&str], minutes: u64) -> Program {
    Program::new("cargo")
        .args(args)
        .within(Duration::from_secs(minutes * 60))
}

fn xtask(args: &[&str], minutes: u64) -> Program {
    let this = std::env::current_exe().unwrap_or_else(|_| paths::host_programs().join("xtask"));
    Program::new(this)
        .args(args)
        .within(Duration::from_secs(minutes * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_added_up_over_a_log() {
        let log = "running 3 tests\n\
            test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured\n\
            test result: FAILED. 1 passed; 2 failed; 0 ignored\n\
            4 passed, 1 failed\n";
        assert_eq!(count(log), Count { passed: 8, failed: 3 });
    }

    #[test]
    fn other_lines_are_not_counted() {
        assert_eq!(count("12 of 14 passed\nnothing failed\n"), Count::default());
    }
}
