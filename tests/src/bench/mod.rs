//! Measures what Bedplate promises, compares it with other tools, and prints a table.

mod cluster;
mod failover;
mod peers;
mod processes;
mod running;
mod upgrades;
mod upstream;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::tools::{self, Tool};
use crate::workshop::Workshop;

/// The board whose download is promised to be small.
const SMALL_BOARD: &str = "rpi3";
/// The board that is booted.
const BOOTED_BOARD: &str = "qemu-arm64";

/// Measures sizes, memory, boot, flash and upgrade costs, and prints a table.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only these: download, flash, run, upgrade, cluster, failover
    parts: Vec<String>,
}

/// A part of the measuring.
type Part = (&'static str, fn(&Workshop) -> Result<Vec<Row>>);

const PARTS: &[Part] = &[
    ("download", download),
    ("flash", flashing),
    ("run", running::measure),
    ("upgrade", upgrades::measure),
    ("cluster", cluster::measure),
    ("failover", failover::measure),
];

/// A line of the table.
struct Row {
    what: String,
    measured: String,
    compared: String,
}

impl Args {
    /// Measures and prints.
    pub fn run(self) -> Result<()> {
        let workshop = Workshop::new(tools::target().join("bench"))?;
        for part in &self.parts {
            let known = PARTS.iter().any(|(name, _)| name == part);
            ensure!(
                known,
                "{part:?} is none of download, flash, run, upgrade, cluster, failover"
            );
        }
        let mut rows = Vec::new();
        for (name, measure) in PARTS {
            if self.parts.is_empty() || self.parts.iter().any(|part| part == name) {
                rows.extend(measure(&workshop)?);
            }
        }
        let width = |column: fn(&Row) -> &String| rows.iter().map(|row| column(row).len()).max().unwrap_or(0);
        let (what, measured) = (width(|row| &row.what), width(|row| &row.measured));
        for row in &rows {
            stdio::line(format_args!(
                "{:<what$}  {:>measured$}  {}",
                row.what, row.measured, row.compared
            ))?;
        }
        Ok(())
    }
}

fn download(workshop: &Workshop) -> Result<Vec<Row>> {
    let size = fs::metadata(workshop.bundle(SMALL_BOARD)?)?.len();
    Ok(vec![row(
        &format!("bundle for {SMALL_BOARD}, without Kubernetes"),
        megabytes(size),
        "goal: at most 50 MB; Talos: 80 MB",
    )])
}

/// Writes the same system with the tools that people use, one right after the other.
fn flashing(workshop: &Workshop) -> Result<Vec<Row>> {
    let out = workshop.folder().join("raw");
    let raw = workshop.build_disk_image(BOOTED_BOARD, &out)?;
    let bundle = workshop.bundle(BOOTED_BOARD)?;
    let target = workshop.folder().join("flashed.img");
    let size = fs::metadata(&raw)?.len();

    let ours = timed(&target, || workshop.flash(&bundle, &target, None).map(drop))?;
    let mut rows = vec![row(
        "flashing, verified twice: bedplate-flash",
        seconds(ours),
        "from the signed bundle",
    )];
    let dd = Tool::new("dd").args(["bs=4M", "conv=fsync", "status=none"]);
    let dd = dd
        .arg(named("if=", &raw))
        .arg(named("of=", &target))
        .within(Duration::from_secs(600));
    let plain = timed(&target, || dd.run().map(drop))?;
    rows.push(row(
        "flashing, not verified: dd",
        seconds(plain),
        &format!("{} raw image", megabytes(size)),
    ));
    let bmaptool = Tool::new("bmaptool")
        .arg("copy")
        .args([&raw, &target])
        .within(Duration::from_secs(600));
    if Tool::new("bmaptool")
        .arg("--version")
        .end()
        .is_ok_and(|ended| ended.success)
    {
        let mapped = timed(&target, || bmaptool.run().map(drop))?;
        rows.push(row(
            "flashing, source verified: bmaptool",
            seconds(mapped),
            "raw image with block map",
        ));
    } else {
        rows.push(row(
            "flashing, source verified: bmaptool",
            "-".to_owned(),
            "not installed (package bmap-tools)",
        ));
    }
    fs::remove_file(&target)?;
    Ok(rows)
}

/// Measures one way of writing the target, from no file to all bytes on the disk.
fn timed(target: &Path, write: impl FnOnce() -> Result<()>) -> Result<Duration> {
    fs::remove_file(target).ok();
    // Other writes still on their way would be counted, too.
    Tool::new("sync").run()?;
    let start = Instant::now();
    write()?;
    Tool::new("sync").arg(target).run()?;
    Ok(start.elapsed())
}

fn named(option: &str, path: &Path) -> PathBuf {
    PathBuf::from(format!("{option}{}", path.display()))
}

fn row(what: &str, measured: String, compared: &str) -> Row {
    Row {
        what: what.to_owned(),
        measured,
        compared: compared.to_owned(),
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
