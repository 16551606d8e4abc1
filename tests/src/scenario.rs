//! Scenarios: what each shows, and what it works with.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::disk::Disk;
use crate::emulator::Emulator;
use crate::machine::Machine;
use crate::node::Node;
use crate::pace;
use crate::server::Server;
use crate::workshop::Workshop;

/// One thing that a user could do, and what must come of it.
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it shows, as a sentence.
    pub shows: &'static str,
    /// How long it may take on a slow machine, images not counted.
    pub limit: Duration,
    /// Most machines that it has on at a time.
    pub machines: usize,
    /// Processors of each machine.
    pub processors: Processors,
    /// Seconds that it took when it was measured: the longest begins first.
    pub takes: u64,
    /// Does it; an error is a failure.
    pub run: fn(&Stage) -> Result<()>,
}

/// How many processors a machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Processors {
    /// One. What is shown happens in loaders and on disks, and emulating a second one costs a fifth more.
    One,
    /// As many as the machine has by itself: two at least.
    Several,
}

/// What a scenario works with.
pub struct Stage<'a> {
    /// Keys, bundles, disks.
    pub workshop: &'a Workshop,
    /// A folder of its own, kept when it fails.
    pub folder: PathBuf,
    /// Machines that it may have on at a time.
    pub machines: usize,
    processors: Processors,
    start: Instant,
    limit: Duration,
}

impl<'a> Stage<'a> {
    /// Makes one for measuring, in a folder that is emptied.
    pub fn for_bench(workshop: &'a Workshop, folder: PathBuf) -> Result<Stage<'a>> {
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        Ok(Stage {
            workshop,
            folder,
            machines: 1,
            processors: Processors::Several,
            start: Instant::now(),
            limit: Duration::from_secs(3600),
        })
    }

    /// Returns a fresh disk of a board.
    pub fn disk(&self, board: &str, configured: bool) -> Result<Disk> {
        self.workshop
            .disk(board, configured, &self.folder.join("disk.img"))
    }

    /// Switches a machine on, with consoles in a folder of this name.
    pub fn start(&self, machine: Machine, disk: &Disk, name: &str) -> Result<Emulator> {
        self.start_with(machine, disk, name, &[])
    }

    /// Switches a machine on with further options of the emulator.
    pub fn start_with(
        &self,
        machine: Machine,
        disk: &Disk,
        name: &str,
        further: &[&str],
    ) -> Result<Emulator> {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder)?;
        let mut options = match self.processors {
            Processors::One => vec!["-smp 1"],
            Processors::Several => Vec::new(),
        };
        options.extend(further);
        Emulator::start_with(machine, disk, &folder, self.deadline(), &options)
    }

    /// Serves files from a folder of this name, to which more can be added.
    pub fn serve(&self, name: &str, files: &[&Path]) -> Result<Server> {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder)?;
        for file in files {
            let link = folder.join(file.file_name().context("a file has a name")?);
            fs::hard_link(file, &link)
                .with_context(|| format!("cannot link {} to {}", link.display(), file.display()))?;
        }
        Server::start(&folder)
    }

    /// Reaches a machine's API with the certificate of the cluster's administrator.
    pub fn node(&self, emulator: &Emulator) -> Result<Node> {
        let client = self.workshop.cluster()?.client;
        Ok(self.node_of(emulator, client))
    }

    /// Reaches a machine's API with a client's file.
    pub fn node_of(&self, emulator: &Emulator, client: PathBuf) -> Node {
        Node::with_client(emulator.api_port, client, self.deadline())
    }

    /// Reaches a machine's API as anybody could.
    pub fn anybody(&self, emulator: &Emulator) -> Node {
        Node::as_nobody(emulator.api_port, self.deadline())
    }

    /// Returns the moment that is so far away, on a machine as fast as limits are written for.
    pub fn soon(&self, limit: Duration) -> Instant {
        Instant::now() + pace::stretch(limit)
    }

    /// Says what was shown.
    pub fn shown(&self, what: &str) {
        stdio::note(format_args!("  {:>4} s  {what}", self.start.elapsed().as_secs()));
    }

    /// The time is counted from the last thing that was started: making images and disks is not part of a scenario.
    fn deadline(&self) -> Instant {
        self.soon(self.limit)
    }
}

impl Scenario {
    /// Runs it, in this process, in a folder that is emptied first. Disks are removed when it succeeds.
    pub fn run(&self, workshop: &Workshop, machines: usize) -> Result<()> {
        let folder = workshop.runs().join(self.name);
        let stage = Stage {
            workshop,
            folder: folder.clone(),
            machines,
            processors: self.processors,
            start: Instant::now(),
            limit: self.limit,
        };
        (self.run)(&stage)?;
        // Disks are large; the consoles may still be of use.
        let entries = fs::read_dir(&folder)?.flatten().map(|entry| entry.path());
        for image in entries.filter(|path| path.extension().is_some_and(|extension| extension == "img")) {
            fs::remove_file(image)?;
        }
        Ok(())
    }
}
