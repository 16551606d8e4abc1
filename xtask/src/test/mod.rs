//! `cargo xtask test`: everything a change must pass, in the order in which a fault is found soonest.
//!
//! Each stage writes a log of its own; what failed is shown, and the stages after it still run. A table says where the time
//! went, and the last line sums up.

mod count;
mod queue;
mod stages;
mod table;

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::paths;
use crate::setup;
use count::Count;
use queue::{Queue, Running};
use table::Row;

/// How often stages are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Checks everything: format, clippy, unit tests, our own lints, fuzz targets, and real images in an emulator.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Leave out the tests that boot images
    #[arg(long)]
    no_e2e: bool,
    /// Also run the scenarios that are otherwise run only when they are named
    #[arg(long, conflicts_with = "no_e2e")]
    all: bool,
}

impl Args {
    /// Runs every stage and fails when one did.
    pub fn run(self) -> Result<()> {
        setup::ensure(false)?;
        let begun = Instant::now();
        let mut queue = Queue::new(stages::stages(!self.no_e2e, self.all), queue::lanes());
        let mut rows = Vec::new();
        let mut running: Vec<Running> = Vec::new();
        loop {
            for stage in queue.ready() {
                report(&format!("{} ...", stage.name));
                running.push(Running::start(stage)?);
            }
            if running.is_empty() {
                break;
            }
            thread::sleep(LOOK_EVERY);
            let mut still = Vec::new();
            for mut stage in running {
                match stage.ended()? {
                    None => still.push(stage),
                    Some(end) => {
                        queue.ended(stage.name(), end.result.is_ok());
                        let row = stage.row(&end, begun);
                        report(&row.to_string());
                        if let Err(error) = &end.result {
                            report(&format!("{error:#}\n"));
                        }
                        rows.push(row);
                    }
                }
            }
            running = still;
        }
        finish(&rows, begun.elapsed())
    }
}

fn finish(rows: &[Row], took: Duration) -> Result<()> {
    report(&format!("\n{}", table::text(rows, took)));
    let log = fs::read_to_string(paths::test_logs().join("e2e.log")).unwrap_or_default();
    if rows.iter().any(|row| row.name == "e2e")
        && let Some(scenarios) = table::scenarios(&log)
    {
        report(&format!("\n{scenarios}\n"));
    }
    let mut total = Count::default();
    rows.iter().for_each(|row| total.add(row.count));
    stdio::line(format_args!("{} passed, {} failed", total.passed, total.failed))?;
    if total.failed > 0 {
        bail!("the logs are in {}", paths::test_logs().display());
    }
    Ok(())
}

/// Reports progress. Stages go on when nobody reads that: the totals at the end are what must not be lost.
fn report(line: &str) {
    stdio::line(line).ok();
}
