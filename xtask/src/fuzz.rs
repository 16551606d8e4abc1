//! `cargo xtask fuzz`: feeds the fuzz targets with inputs that libFuzzer makes up.
//!
//! libFuzzer needs a program that counts which of its branches ran. The compiler puts the counters in when it is asked
//! to, by the same flags as cargo-fuzz gives; that works with the stable toolchain, only AddressSanitizer would need
//! another. So the program is built apart, in `target/fuzz`. See `docs/fuzzing.md`.

mod keep;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::arch::Arch;
use crate::process::Program;
use crate::{paths, setup};

/// What makes the compiler count branches, and remember what was compared with what.
const FLAGS: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];
/// What every run has: how long one input may take, how long it may be, and how much memory it may cost.
const LIMITS: &[&str] = &[
    "-timeout=25",
    "-max_len=16384",
    "-rss_limit_mb=384",
    "-error_exitcode=77",
];
/// More than this cannot be allocated at all: libFuzzer checks the memory only once a second.
const ADDRESS_SPACE: &str = "--as=536870912";
/// Targets that run at the same time.
const AT_ONCE: usize = 2;
/// How long the program may take to build.
const BUILD_LIMIT: Duration = Duration::from_secs(40 * 60);

/// Feeds the fuzz targets with inputs that libFuzzer makes up.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Run only these targets
    targets: Vec<String>,
    /// How long each target runs, after its corpus
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Run one target on this input only
    #[arg(long, value_name = "FILE", conflicts_with = "keep")]
    input: Option<PathBuf>,
    /// Put what was found into the corpus in fuzz/corpus, as few inputs as reach the same
    #[arg(long)]
    keep: bool,
    /// List the targets and run none
    #[arg(long)]
    list: bool,
    /// Build the program and run no target
    #[arg(long, conflicts_with_all = ["list", "input", "keep"])]
    build: bool,
}

impl Args {
    /// Builds the program and runs the targets.
    pub fn run(self) -> Result<()> {
        let all = targets()?;
        if self.list {
            return Ok(stdio::line(all.join("\n"))?);
        }
        if let Some(wrong) = self.targets.iter().find(|name| !all.contains(name)) {
            bail!("fuzz target {wrong:?} not found; known: {}", all.join(", "));
        }
        let chosen = if self.targets.is_empty() {
            all
        } else {
            self.targets
        };
        setup::ensure(false)?;
        let program = build()?;
        if self.build {
            return Ok(stdio::line(program.display())?);
        }
        if let Some(input) = &self.input {
            let [target] = &chosen[..] else {
                bail!("name the one target that the input is for");
            };
            let input = std::path::absolute(input)?;
            return driver(&program, target).arg(input).run();
        }
        let failed = run_all(&program, &chosen, self.seconds)?;
        if self.keep && failed == 0 {
            for target in &chosen {
                keep::keep(&program, target)?;
            }
        }
        stdio::line(format_args!("{} passed, {failed} failed", chosen.len() - failed))?;
        if failed > 0 {
            bail!("{failed} fuzz targets found an input that breaks a promise");
        }
        Ok(())
    }
}

/// Lists the targets: each has a folder of inputs.
fn targets() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for path in list(&corpus())? {
        names.extend(path.file_name().map(|name| name.to_string_lossy().into_owned()));
    }
    Ok(names)
}

/// Builds the program with counters and gives its path.
fn build() -> Result<PathBuf> {
    let arch = Arch::host().context("fuzzing works on arm64 and amd64 only")?;
    stdio::note("building the fuzz targets");
    Program::new("cargo")
        .args([
            "build",
            "--locked",
            "--package=fuzz",
            "--features=libfuzzer",
            "--profile=fuzz",
        ])
        // With a target given, build scripts and macros are left without counters.
        .args(["--target", arch.linux_target(), "--target-dir"])
        .arg(folder())
        .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\u{1f}"))
        .within(BUILD_LIMIT)
        .run()?;
    Ok(folder().join(arch.linux_target()).join("fuzz/fuzz"))
}

/// Runs the targets, some at a time, and gives how many failed.
fn run_all(program: &Path, targets: &[String], seconds: u64) -> Result<usize> {
    let queue = Mutex::new(targets.iter());
    let next = || queue.lock().expect("no worker panics").next();
    // The totals at the end are what must not be lost.
    let tell = |line: &str| {
        stdio::line(line).ok();
    };
    let work = || {
        let mut failed = 0;
        while let Some(target) = next() {
            match run(program, target, seconds) {
                Ok(line) => tell(&format!("{target}: {line}")),
                Err(error) => {
                    failed += 1;
                    tell(&format!("{target}: {error:#}"));
                }
            }
        }
        failed
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        Ok(workers
            .into_iter()
            .map(|worker| worker.join().expect("no worker panics"))
            .sum())
    })
}

/// Runs one target and says how far it came.
fn run(program: &Path, target: &str, seconds: u64) -> Result<String> {
    let (grown, artefacts) = (
        folder().join("corpus").join(target),
        folder().join("artefacts").join(target),
    );
    let log = folder().join("logs").join(format!("{target}.log"));
    for folder in [&grown, &artefacts] {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    let before = list(&artefacts)?;
    let run = driver(program, target)
        .arg(&grown)
        .arg(corpus().join(target))
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/", artefacts.display()))
        .arg("-print_final_stats=1")
        .within(Duration::from_secs(seconds + 300))
        .log(log.clone());
    run.run().with_context(|| {
        let new = list(&artefacts)
            .unwrap_or_default()
            .into_iter()
            .find(|path| !before.contains(path));
        match new {
            Some(input) => format!(
                "fails on {path}; see it again: cargo xtask fuzz {target} --input {path}",
                path = input.display()
            ),
            None if is_interrupted(&log) => "was stopped by a signal from outside".to_owned(),
            None => "died without leaving the input: its stack may have run over".to_owned(),
        }
    })?;
    Ok(summary(&fs::read_to_string(&log).unwrap_or_default()))
}

/// Returns whether the run was ended by somebody, and not by what it found.
fn is_interrupted(log: &Path) -> bool {
    let text = fs::read_to_string(log).unwrap_or_default();
    text.contains("libFuzzer: run interrupted")
}

/// Returns the program with the limits of every run.
fn driver(program: &Path, target: &str) -> Program {
    Program::new("prlimit")
        .arg(ADDRESS_SPACE)
        .arg(program)
        .args(LIMITS)
        .env("FUZZ_TARGET", target)
}

/// Picks the figures out of a log.
fn summary(log: &str) -> String {
    let last = |word: &str| {
        let mut found = log.lines().rev().filter_map(|line| line.split_once(word));
        let number = found.next().and_then(|(_, rest)| rest.split_whitespace().next());
        number.unwrap_or("?").to_owned()
    };
    format!(
        "{} runs, {} edges, {} inputs",
        last("stat::number_of_executed_units:"),
        last(" cov: "),
        last(" corp: ").split('/').next().unwrap_or_default()
    )
}

fn corpus() -> PathBuf {
    paths::root().join("fuzz/corpus")
}

fn folder() -> PathBuf {
    paths::target().join("fuzz")
}

fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut paths = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_of_a_run_are_those_at_its_end() {
        let log = "#2\tINITED cov: 5 ft: 6 corp: 1/1b exec/s: 0 rss: 30Mb\n\
            #900\tNEW    cov: 57 ft: 60 corp: 12/3Kb lim: 4 exec/s: 450 rss: 31Mb\n\
            Done 1000 runs in 2 second(s)\n\
            stat::number_of_executed_units: 1000\n";
        assert_eq!(summary(log), "1000 runs, 57 edges, 12 inputs");
        assert_eq!(summary(""), "? runs, ? edges, ? inputs");
    }

    #[test]
    fn every_target_is_found_by_its_corpus() {
        let targets = targets().unwrap();
        assert!(targets.iter().any(|name| name == "manifest"), "{targets:?}");
    }
}
