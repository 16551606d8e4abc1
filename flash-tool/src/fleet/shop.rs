//! What all cards have in common, and what is done for one of them.

use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

use layout::Guids;
use uuid::Uuid;

use super::configs::Entry;
use super::unpack::{Share, Unpacker};
use crate::apply::write_plan;
use crate::firmware::with_lines;
use crate::host::Host;
use crate::plan::{BundleFacts, Options, Plan, Release, plan, release};
use crate::report::{Clockwork, Report};
use crate::run::FlashError;
use crate::target::{Requirements, Target, TargetError};
use crate::watch::Watch;

/// What stays the same for all cards.
pub(super) struct Shop<'a, R> {
    pub host: &'a Host,
    pub entries: &'a [Entry],
    pub unpacker: Unpacker<R>,
    pub facts: BundleFacts,
    /// Bytes that a card must have.
    pub needed: u64,
    /// The size of files.
    pub size: Option<u64>,
    pub discard: bool,
    /// Files that are read.
    pub inputs: &'a [PathBuf],
}

/// A row, and the card that it goes on.
pub(super) struct Job {
    pub row: usize,
    pub target: Target,
    pub plan: Plan,
}

impl<R: Read + Seek + Send> Shop<'_, R> {
    /// Inspects a target, and refuses what must not be written to.
    pub fn inspect(&self, path: &Path) -> Result<Target, TargetError> {
        let inputs: Vec<&Path> = self.inputs.iter().map(PathBuf::as_path).collect();
        let required = Requirements {
            needed: self.needed,
            size: self.size,
            inputs: &inputs,
            private: true,
        };
        Target::inspect(self.host, path, &required)
    }

    /// Plans a card.
    pub fn job(&self, row: usize, target: Target) -> Result<Job, FlashError> {
        let config = &self.entries[row].config;
        let esp = self
            .unpacker
            .with_bundle(|bundle| with_lines(bundle, config.firmware()))?;
        let options = Options {
            // Random, so that two disks in one machine are distinguishable.
            guids: Guids::from_seed(Uuid::new_v4().as_bytes()),
            config: Some(config.clone()),
            discard: self.discard,
        };
        let plan = plan(&self.facts.clone().with_esp(esp), target.size(), options)?;
        Ok(Job { row, target, plan })
    }

    /// Returns the release that is flashed.
    pub fn release(&self) -> Release {
        release(&self.facts)
    }

    /// Writes a card.
    pub fn write(
        &self,
        job: &Job,
        mut share: Share<'_, R>,
        watch: &mut dyn Watch,
    ) -> Result<Report, FlashError> {
        let mut medium = job.target.open(self.host)?;
        let report = write_plan(&job.plan, &mut share, Clockwork::new(), &mut medium, watch)?;
        if matches!(job.target, Target::Disk(_)) {
            // The card is good either way: this only lets the host show its partitions without a replug.
            let _ = sys::block::reread_partitions(medium.file());
        }
        Ok(report)
    }
}
