//! Runs scenarios side by side, each in a process of its own: what one does to itself, no other notices.
//!
//! What a scenario says goes to a file, and is shown when it fails. A scenario that runs alone says it at once.

mod child;
mod schedule;
mod table;

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::pace;
use crate::scenario::Scenario;
use crate::scenarios;
use crate::workshop::Workshop;
use child::Child;
use schedule::Schedule;
use table::Row;

/// How often scenarios are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Which scenarios are run, and how.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only those whose name contains one of these
    names: Vec<String>,
    /// Also those that are otherwise run only when they are named
    #[arg(long)]
    all: bool,
    /// Most machines that run at a time; without it, as many as cores and memory allow
    #[arg(long, value_name = "COUNT")]
    machines: Option<usize>,
}

impl Args {
    /// Runs the scenarios. Ends with `N passed, N failed`.
    pub fn run(self, workshop: &Workshop) -> Result<()> {
        let chosen = chosen(&self.names, self.all);
        if chosen.is_empty() {
            bail!(
                "no scenario's name contains {:?}; there are: {}",
                self.names,
                names().join(", ")
            );
        }
        let places = self.machines.unwrap_or_else(places).max(1);
        pace::set(pace::measure(places))?;
        stdio::note(format_args!(
            "{places} machines at a time; limits are stretched to {} %",
            pace::percent()
        ));
        let (chosen, skipped): (Vec<_>, Vec<_>) = chosen
            .into_iter()
            .partition(|scenario| scenarios::missing(scenario.name).is_none());
        for scenario in &skipped {
            let reason = scenarios::missing(scenario.name).unwrap_or_default();
            // Whoever names it wants it to run.
            if !self.names.is_empty() {
                bail!("{} cannot run: {reason}", scenario.name);
            }
            stdio::note(format_args!("skipped {}: {reason}", scenario.name));
        }
        let rows = side_by_side(workshop, chosen, places)?;
        if rows.len() > 1 {
            stdio::note(table::text(&rows));
        }
        let failed = rows.iter().filter(|row| !row.passed).count();
        stdio::line(format_args!("{} passed, {failed} failed", rows.len() - failed))?;
        if failed > 0 {
            bail!("{failed} of {} scenarios failed", rows.len());
        }
        Ok(())
    }
}

/// Lists the scenarios.
pub fn list() -> Result<()> {
    for scenario in scenarios::ALL {
        stdio::line(format_args!("{:<16} {}", scenario.name, scenario.shows))?;
    }
    for scenario in scenarios::NAMED {
        stdio::line(format_args!(
            "{:<16} {} (only when it is named, or with --all)",
            scenario.name, scenario.shows
        ))?;
    }
    Ok(())
}

/// Finds the scenario of a name.
pub fn scenario(name: &str) -> Option<&'static Scenario> {
    every().find(|scenario| scenario.name == name)
}

/// Lets every scenario begin as soon as there are places for it, and waits for all of them.
fn side_by_side(workshop: &Workshop, chosen: Vec<&'static Scenario>, places: usize) -> Result<Vec<Row>> {
    let begun = Instant::now();
    let alone = chosen.len() == 1;
    let mut schedule = Schedule::new(chosen, places);
    let mut running: Vec<Child> = Vec::new();
    let mut rows = Vec::new();
    loop {
        while let Some(turn) = schedule.next() {
            let Scenario { name, shows, .. } = turn.scenario;
            stdio::note(format_args!(
                "{:>5} s  {name}: {shows}",
                begun.elapsed().as_secs()
            ));
            running.push(Child::start(workshop, turn, alone)?);
        }
        if running.is_empty() {
            return Ok(rows);
        }
        thread::sleep(LOOK_EVERY);
        let mut still = Vec::new();
        for mut child in running {
            let Some(end) = child.ended()? else {
                still.push(child);
                continue;
            };
            schedule.ended(child.turn);
            let row = Row {
                name: child.turn.scenario.name,
                passed: end.passed,
                began: child.began - begun,
                took: child.began.elapsed(),
                worked: end.worked,
            };
            stdio::note(format_args!("{:>5} s  {row}", begun.elapsed().as_secs()));
            if !row.passed {
                stdio::note(child.output());
            }
            rows.push(row);
        }
        running = still;
    }
}

fn chosen(words: &[String], all: bool) -> Vec<&'static Scenario> {
    if words.is_empty() && !all {
        return scenarios::ALL.iter().collect();
    }
    // A whole name means nothing but its scenario, also where others contain it: `cluster` beside `cluster-ha`.
    let means = |word: &str, name: &str| match every().any(|scenario| scenario.name == word) {
        true => name == word,
        false => name.contains(word),
    };
    let is_meant = |name: &str| all || words.iter().any(|word| means(word, name));
    every().filter(|scenario| is_meant(scenario.name)).collect()
}

fn every() -> impl Iterator<Item = &'static Scenario> {
    scenarios::ALL.iter().chain(scenarios::NAMED)
}

fn names() -> Vec<&'static str> {
    every().map(|scenario| scenario.name).collect()
}

/// Returns how many machines this machine can serve at a time.
fn places() -> usize {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    // A kernel that does not report it is taken to have enough.
    schedule::places(cores, schedule::available(&meminfo).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_are_chosen_by_a_part_of_their_name() {
        let names = |words: &[&str], all| -> Vec<&str> {
            let words: Vec<String> = words.iter().map(ToString::to_string).collect();
            chosen(&words, all).iter().map(|scenario| scenario.name).collect()
        };
        assert_eq!(names(&["rpi"], false), ["boot-rpi3", "ota-rpi3"]);
        assert_eq!(names(&["grow", "boot-edk"], false), ["grow", "boot-edk2"]);
        assert_eq!(names(&["cluster"], false), ["cluster"]);
        assert!(names(&[], false).contains(&"boot-rpi3") && !names(&[], false).contains(&"ota-rpi3"));
        assert_eq!(names(&[], true).len(), every().count());
    }

    #[test]
    fn every_scenario_has_a_name_of_its_own_and_says_what_it_shows() {
        let mut all = names();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), every().count());
        assert!(every().all(|scenario| scenario.shows.len() > 20 && scenario.machines > 0));
    }
}
