//! Scenarios: what each shows, and how they are run one after another.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::disk::Disk;
use crate::emulator::Emulator;
use crate::machine::Machine;
use crate::node::Node;
use crate::scenarios;
use crate::workshop::Workshop;

/// One thing that a user could do, and what must come of it.
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it shows, as a sentence.
    pub shows: &'static str,
    /// How long it may take on a slow machine, images not counted.
    pub limit: Duration,
    /// Does it; an error is a failure.
    pub run: fn(&Stage) -> Result<()>,
}

/// What a scenario works with.
pub struct Stage<'a> {
    /// Keys, bundles, disks.
    pub workshop: &'a Workshop,
    /// A folder of its own, kept when it fails.
    pub folder: PathBuf,
    start: Instant,
    limit: Duration,
}

impl Stage<'_> {
    /// Gives a fresh disk of a board.
    pub fn disk(&self, board: &str, configured: bool) -> Result<Disk> {
        self.workshop
            .disk(board, configured, &self.folder.join("disk.img"))
    }

    /// Switches a machine on, with consoles in a folder of this name.
    pub fn start(&self, machine: Machine, disk: &Disk, name: &str) -> Result<Emulator> {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder)?;
        Emulator::start(machine, disk, &folder, self.deadline())
    }

    /// Reaches a machine's API with the certificate of the cluster's administrator.
    pub fn node(&self, emulator: &Emulator) -> Result<Node> {
        let client = self.workshop.cluster()?.client;
        Ok(Node::with_client(emulator.api_port, client, self.deadline()))
    }

    /// Reaches a machine's API as anybody could.
    pub fn anybody(&self, emulator: &Emulator) -> Node {
        Node::as_nobody(emulator.api_port, self.deadline())
    }

    /// Gives the moment that is so far away.
    pub fn soon(&self, limit: Duration) -> Instant {
        Instant::now() + limit
    }

    /// Says what was shown.
    pub fn shown(&self, what: &str) {
        eprintln!("  {:>4} s  {what}", self.start.elapsed().as_secs());
    }

    /// The time is counted from the last thing that was started: making images and disks is not part of a scenario.
    fn deadline(&self) -> Instant {
        Instant::now() + self.limit
    }
}

/// Runs every scenario whose name contains one of the words; without words, all but the long ones. Ends with `N passed, N failed`.
pub fn run(workshop: &Workshop, words: &[String]) -> Result<()> {
    let chosen = chosen(words);
    if chosen.is_empty() {
        bail!(
            "no scenario's name contains {words:?}; there are: {}",
            names().join(", ")
        );
    }
    let mut failed = 0;
    for scenario in &chosen {
        stdio::note(format_args!("{}: {}", scenario.name, scenario.shows));
        let start = Instant::now();
        let folder = workshop.folder().join("runs").join(scenario.name);
        let result = run_one(workshop, scenario, &folder);
        let seconds = start.elapsed().as_secs();
        match result {
            Ok(()) => stdio::note(format_args!("  ok in {seconds} s")),
            Err(error) => {
                failed += 1;
                stdio::note(format_args!("  FAILED after {seconds} s: {error:#}"));
                stdio::note(format_args!(
                    "  consoles and disks are kept in {}",
                    folder.display()
                ));
            }
        }
    }
    stdio::line(format_args!("{} passed, {failed} failed", chosen.len() - failed))?;
    if failed > 0 {
        bail!("{failed} of {} scenarios failed", chosen.len());
    }
    Ok(())
}

/// Lists the scenarios.
pub fn list() -> Result<()> {
    for scenario in scenarios::ALL {
        stdio::line(format_args!("{:<16} {}", scenario.name, scenario.shows))?;
    }
    for scenario in scenarios::NAMED {
        stdio::line(format_args!(
            "{:<16} {} (only when it is named)",
            scenario.name, scenario.shows
        ))?;
    }
    Ok(())
}

fn run_one(workshop: &Workshop, scenario: &Scenario, folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot clear {}", folder.display()))?;
    }
    fs::create_dir_all(folder)?;
    let stage = Stage {
        workshop,
        folder: folder.to_owned(),
        start: Instant::now(),
        limit: scenario.limit,
    };
    (scenario.run)(&stage)?;
    // Disks are large; the consoles may still be of use.
    let entries = fs::read_dir(folder)?.flatten().map(|entry| entry.path());
    for image in entries.filter(|path| path.extension().is_some_and(|extension| extension == "img")) {
        fs::remove_file(image)?;
    }
    Ok(())
}

fn chosen(words: &[String]) -> Vec<&'static Scenario> {
    if words.is_empty() {
        return scenarios::ALL.iter().collect();
    }
    let is_meant = |name: &str| words.iter().any(|word| name.contains(word.as_str()));
    every().filter(|scenario| is_meant(scenario.name)).collect()
}

fn every() -> impl Iterator<Item = &'static Scenario> {
    scenarios::ALL.iter().chain(scenarios::NAMED)
}

fn names() -> Vec<&'static str> {
    every().map(|scenario| scenario.name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_are_chosen_by_a_part_of_their_name() {
        let names = |words: &[&str]| -> Vec<&str> {
            let words: Vec<String> = words.iter().map(ToString::to_string).collect();
            chosen(&words).iter().map(|scenario| scenario.name).collect()
        };
        assert_eq!(names(&["rpi"]), ["boot-rpi3", "ota-rpi3"]);
        assert_eq!(names(&["grow", "boot-edk"]), ["grow", "boot-edk2"]);
        assert!(names(&[]).contains(&"boot-rpi3") && !names(&[]).contains(&"ota-rpi3"));
    }

    #[test]
    fn every_scenario_has_a_name_of_its_own_and_says_what_it_shows() {
        let mut all = names();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), every().count());
        assert!(every().all(|scenario| scenario.shows.len() > 20));
    }
}
