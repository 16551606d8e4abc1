//! What can be wrong with a new release or with its machine, a row each: which slot runs afterwards, after how long, and
//! what the node says of it.

mod bench;
mod damage;
mod rows;
mod trial;

use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::scenario::Stage;
use crate::side_by_side::side_by_side;
use bench::Bench;
use rows::{ROWS, Row};
use trial::Outcome;

/// Runs only rows whose name contains one of these words, parted by commas.
const ONLY: &str = "BEDPLATE_FAULTS";

/// Lets every fault happen, and prints the table.
pub fn run(stage: &Stage) -> Result<()> {
    let rows = chosen(std::env::var(ONLY).ok().as_deref());
    if rows.is_empty() {
        let known: Vec<&str> = ROWS.iter().map(|row| row.name).collect();
        bail!("{ONLY} names no row; there are: {}", known.join(", "));
    }
    let bench = Bench::prepare(stage, &rows)?;
    stage.shown("a node with a kept release is ready, and what is to go wrong");
    let mut outcomes = Vec::new();
    let work = |row: &&'static Row| {
        trial::run(&bench, row).with_context(|| format!("see {}", bench.folder(row).display()))
    };
    side_by_side(&rows, stage.machines, work, |row, outcome| {
        match &outcome {
            Ok(outcome) => stage.shown(&format!("{}: {}", row.name, outcome.reason)),
            Err(error) => stage.shown(&format!("{}: FAILED: {error:#}", row.name)),
        }
        outcomes.push((*row, outcome));
    });
    outcomes.sort_by_key(|(row, _)| rows.iter().position(|known| known.name == row.name));
    print(&outcomes);
    let failed: Vec<&str> = outcomes
        .iter()
        .filter(|(_, outcome)| outcome.is_err())
        .map(|(row, _)| row.name)
        .collect();
    if failed.is_empty() {
        return Ok(());
    }
    bail!(
        "{} of {} faults did not end as they must: {}",
        failed.len(),
        rows.len(),
        failed.join(", ")
    )
}

type Reported<'a> = (&'a Row, Result<Outcome>);

fn chosen(only: Option<&str>) -> Vec<&'static Row> {
    let words: Vec<&str> = only.unwrap_or_default().split(',').collect();
    let meant = |row: &&Row| words.iter().any(|word| row.name.contains(word));
    ROWS.iter().filter(meant).collect()
}

fn print(outcomes: &[Reported]) {
    stdio::note("| fault | starts of B | runs afterwards | after | the node says |");
    stdio::note("|---|---|---|---|---|");
    for (row, outcome) in outcomes {
        match outcome {
            Ok(Outcome {
                starts,
                slot,
                after,
                reason,
            }) => {
                let seconds = after.as_secs();
                stdio::note(format_args!(
                    "| {} | {starts} | {slot} | {seconds} s | {reason} |",
                    row.name
                ));
            }
            Err(_) => stdio::note(format_args!("| {} | | | | FAILED |", row.name)),
        }
    }
}

/// How long a row may take: three starts, and the patience of a watchdog.
const ROW_LIMIT: Duration = Duration::from_secs(6 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_name_all_rows_are_run() {
        assert_eq!(chosen(None).len(), ROWS.len());
        let some = chosen(Some("panic,1970"));
        assert!(some.len() >= 2 && some.len() < ROWS.len());
    }

    #[test]
    fn rows_have_names_of_their_own_that_can_be_folders() {
        let mut names: Vec<&str> = ROWS.iter().map(|row| row.name).collect();
        assert!(names.iter().all(|name| {
            name.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        }));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ROWS.len());
    }
}
