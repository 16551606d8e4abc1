//! Measures what Bedplate promises, compares it with other tools, and prints a table.

mod cluster;
mod failover;
mod flash;
mod loop_disk;
mod peers;
mod processes;
mod running;
mod throttle;
mod upgrades;
mod upstream;

use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::tools;
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
    ("flash", flash::measure),
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
