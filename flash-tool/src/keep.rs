//! Flashes a node's disk again and keeps what is its own: an upgrade while it is off.
//!
//! The new release goes into the slot that the node does not start from, with the checks and in the order of an upgrade (crate
//! `upgrade`), and is put on trial. The old release, STATE and, unless it is to be erased, DATA stay. At every moment the disk
//! starts one of the two.

mod node;
mod part;

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;

use layout::Name;
use medium::{Changes, FileMedium, Medium};
use serde::Serialize;
use upgrade::{Disk, Progress, Release, Slots, Stage, install};

pub use node::KeepError;
use node::{Node, extent};
use part::Part;

use crate::args::{Args, Output};
use crate::ask::{Consent, Terminal, consent};
use crate::host::Host;
use crate::run::FlashError;
use crate::safety::caution;
use crate::show::target_text;
use crate::target::{Requirements, Target};

/// Bytes at the start of DATA without which there is no file system in it.
const BLANK: u64 = 1024 * 1024;

/// What stays on the disk.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct KeepArgs {
    /// Keeps the node on the disk, with STATE and DATA: its release is replaced as by an upgrade, on trial.
    #[arg(long, conflicts_with_all = ["config", "size", "discard", "fleet", "keep_state"])]
    pub keep_data: bool,

    /// Keeps STATE alone: as --keep-data, but erases DATA.
    #[arg(long, conflicts_with_all = ["config", "size", "discard", "fleet"])]
    pub keep_state: bool,
}

impl KeepArgs {
    /// Returns true if a node is to be kept.
    pub fn is_any(&self) -> bool {
        self.keep_data || self.keep_state
    }
}

/// What was done, for programs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome<'a> {
    target: &'a Target,
    /// The release that stays, to fall back to.
    from: String,
    /// The release that is put on trial.
    to: String,
    slot: String,
    keeps: &'static [&'static str],
    /// Absent when nothing was to be written.
    report: Option<Report>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    bundle_read: u64,
    written: u64,
    equal: u64,
}

impl Args {
    /// Replaces the release of the node on a disk.
    pub(crate) fn reflash(&self, host: &Host, path: &Path, target: &Path) -> Result<(), FlashError> {
        let keys = crate::keys::load(&self.keys)?;
        let file = File::open(path).map_err(|source| FlashError::Open {
            path: path.into(),
            source,
        })?;
        let mut release = Release::open(file, &keys).map_err(KeepError::from)?;
        let inputs: Vec<&Path> = self.keys.iter().map(|key| key.as_path()).chain([path]).collect();
        let required = Requirements {
            needed: 0,
            size: None,
            inputs: &inputs,
            private: false,
        };
        let target = Target::inspect(host, target, &required)?;
        if let Target::File(file) = &target
            && file.is_new()
        {
            return Err(KeepError::NoFile {
                path: target.path().into(),
            }
            .into());
        }
        let looked = File::open(target.path()).and_then(FileMedium::new);
        let looked = looked.map_err(KeepError::from)?;
        let node = Node::read(&looked, &keys)?;
        node.check(&looked, release.manifest())?;

        let slot = node.running.other();
        let keeps: &[&str] = if self.keep.keep_data {
            &["STATE", "DATA"]
        } else {
            &["STATE"]
        };
        let kept = keeps.join(" and ");
        let mut outcome = Outcome {
            target: &target,
            from: node.old.version.to_string(),
            to: release.manifest().version.to_string(),
            slot: slot.to_string(),
            keeps,
            report: None,
        };
        stdio::note(format_args!(
            "Target   {}\nNode     {} {} in slot {}\nWrites   {} into slot {slot}, on trial\nKeeps    {kept}{}",
            target_text(&target),
            node.old.board,
            outcome.from,
            node.running,
            outcome.to,
            if self.keep.keep_data {
                ""
            } else {
                "; DATA is erased"
            },
        ));
        if !self.dry_run {
            let wary = match &target {
                Target::Disk(disk) => caution(disk),
                Target::File(_) => None,
            };
            let said = Consent {
                yes: self.yes,
                allow_fixed: self.allow_fixed.clone(),
            };
            let loses = match self.keep.keep_data {
                true => format!("Slot {slot}"),
                false => format!("Slot {slot} and DATA"),
            };
            let path = target.path().display().to_string();
            consent(&path, &loses, wary.as_ref(), &said, &mut Terminal)?;
            let disk = target.open(host)?;
            // What was shown may have changed since.
            let node = Node::read(&disk, &keys)?;
            node.check(&disk, release.manifest())?;
            outcome.report = Some(write(&disk, &node, &mut release)?);
            if !self.keep.keep_data {
                erase_data(&disk, &node).map_err(KeepError::from)?;
            }
        }
        let text = match (self.output, &outcome.report) {
            (Output::Json, _) => serde_json::to_string_pretty(&outcome)?,
            (Output::Text, Some(_)) => format!(
                "{} now has {} on trial in slot {slot}, beside {}; kept: {kept}",
                target.path().display(),
                outcome.to,
                outcome.from
            ),
            (Output::Text, None) => "dry run: nothing was written".to_owned(),
        };
        let is_written = outcome.report.is_some();
        stdio::line(text).map_err(if is_written {
            FlashError::PrintReport
        } else {
            FlashError::Print
        })
    }
}

/// Writes the release into the slot that is not running, and puts it on trial.
fn write(disk: &FileMedium, node: &Node, release: &mut Release<File>) -> Result<Report, KeepError> {
    let slot = node.running.other();
    let mut bootstate = Part::of(disk, node.layout.extent(Name::BootState))?;
    let mut running = Part::of(disk, extent(&node.layout, node.running))?;
    let mut target = Part::of(disk, extent(&node.layout, slot))?;
    let mut parts = Disk {
        bootstate: &mut bootstate,
        slots: Slots {
            running: &mut running,
            old: &node.old,
            target: &mut target,
            slot,
        },
    };
    let mut last = None;
    let mut say = |progress: Progress| {
        if last.replace(progress.stage) != Some(progress.stage) {
            stdio::note(match progress.stage {
                Stage::Survey => "Comparing with what is there",
                Stage::Fetch => "Writing",
                Stage::Verify => "Reading back",
            });
        }
        ControlFlow::Continue(())
    };
    let upgrade::Report { progress, .. } = install(release, &mut parts, &mut say)?;
    Ok(Report {
        bundle_read: progress.fetched,
        written: progress.written,
        equal: progress.equal,
    })
}

/// Erases the start of DATA: the node finds no file system there, and makes one.
fn erase_data(disk: &FileMedium, node: &Node) -> io::Result<()> {
    let mut data = Part::of(disk, node.layout.extent(Name::Data))?;
    let len = BLANK.min(data.len());
    let zeros = vec![0; usize::try_from(len).map_err(io::Error::other)?];
    Changes::default().write(&mut data, 0, &zeros)?;
    data.sync()
}
