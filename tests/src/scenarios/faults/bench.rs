//! What all rows start from: a node that has run, whose one release is kept; and the faulty releases.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use slots::{Slot, SlotState};

use super::damage;
use super::rows::{Content, Row, Trouble};
use crate::disk::Disk;
use crate::machine::Machine;
use crate::pace;
use crate::scenario::Stage;
use crate::workshop::Key;

const BOARD: &str = "qemu-arm64";
/// The first start of all, alone on the machine.
const UP: Duration = Duration::from_secs(240);
const OFF: Duration = Duration::from_secs(90);
/// A new system is abandoned after this time, and kept after [`COMMIT_AFTER`]: emulated nodes are slow, and the rows are many.
const TIMEOUT: Duration = Duration::from_secs(60);
const COMMIT_AFTER: Duration = Duration::from_secs(5);

/// What rows are made from. Used by several at a time, and changed by none.
pub struct Bench {
    folder: PathBuf,
    /// A node that has run.
    good: Disk,
    releases: BTreeMap<&'static str, Disk>,
    key: Key,
    /// The administrator's file.
    pub client: PathBuf,
    /// The bundle of a release that no slot has.
    pub newer: PathBuf,
}

impl Bench {
    /// Builds, flashes, and starts the node for the first time.
    pub fn prepare(stage: &Stage, rows: &[&Row]) -> Result<Bench> {
        let mut releases = BTreeMap::new();
        for row in rows {
            if let Content::Faulty(release) = row.slot
                && !releases.contains_key(release.name())
            {
                releases.insert(release.name(), release.flash(stage, None)?);
            }
        }
        Ok(Bench {
            folder: stage.folder.clone(),
            good: used_node(stage)?,
            releases,
            key: stage.workshop.key("release")?,
            client: stage.workshop.cluster()?.client,
            newer: stage
                .workshop
                .upgrade(BOARD, "0.2.0", &stage.workshop.bundle(BOARD)?)?,
        })
    }

    /// Returns the folder of a row's consoles.
    pub fn folder(&self, row: &Row) -> PathBuf {
        self.folder.join(row.name)
    }

    /// Makes the disk of a row.
    pub fn disk(&self, row: &Row) -> Result<Disk> {
        let folder = self.folder(row);
        fs::create_dir_all(&folder)?;
        let disk = self
            .good
            .copy_to(&self.folder.join(format!("{}.img", row.name)))?;
        match row.slot {
            Content::Good | Content::Damaged(_) => disk.install(Slot::B, &self.good)?,
            Content::Faulty(release) => disk.install(Slot::B, &self.releases[release.name()])?,
        }
        if let Content::Damaged(damage) = row.slot {
            damage(&disk, &self.key, &folder)?;
        }
        match row.machine {
            Trouble::FullData => damage::fill_data(&disk)?,
            Trouble::LostData => damage::lose_data(&disk)?,
            Trouble::DamagedStore => damage::damage_store(&disk)?,
            _ => {}
        }
        let record = disk.record()?;
        disk.set_record(&match row.machine {
            Trouble::PowerCutsWhenKept(_) | Trouble::WasKept => record.commit(Slot::B),
            _ => record.arm_trial(Slot::B, row.tries),
        })?;
        Ok(disk)
    }
}

/// Flashes a node, lets it run once, and switches it off.
fn used_node(stage: &Stage) -> Result<Disk> {
    let config = fs::read_to_string(stage.workshop.cluster()?.machine)?;
    let health = format!(
        "{{timeout: {}s, commitAfter: {}s}}",
        pace::stretch(TIMEOUT).as_secs(),
        COMMIT_AFTER.as_secs()
    );
    let hasty = config.replacen("\nmachine:\n", &format!("\nmachine:\n  health: {health}\n"), 1);
    ensure!(config != hasty, "the cluster's machine config has no `machine:`");
    let file = stage.folder.join("machine.yaml");
    fs::write(&file, hasty)?;
    let bundle = stage.workshop.bundle(BOARD)?;
    let disk = stage
        .workshop
        .flash(&bundle, &stage.folder.join("good.img"), Some(&file))?;
    let mut machine = stage.start(Machine::ArmUBoot, &disk, "good")?;
    let node = stage.node(&machine)?;
    node.until(&["status"], UP, |status| {
        status["phase"] == "running" && status["health"]["healthy"] == true
    })?;
    node.command(&["shutdown", "--yes"]).run()?;
    machine.ends(OFF)?;
    ensure!(
        disk.record()?.slot(Slot::A) == SlotState::Committed,
        "slot a is not kept"
    );
    Ok(disk)
}
