//! Decides whether the node may install a bundle.

use std::path::Path;

use manifest::{Manifest, TrustedKey};
use slots::{Loaded, Record, Slot, SlotState};
use state::kinds::BootStatus;
use upgrade::{Node, Refusal, refusals};

use super::error::Error;
use crate::trial::{InSlot, Places, release_in};

/// The running system, as verified by the loader.
#[derive(Clone)]
pub(super) struct RunningSystem {
    /// The partitions.
    pub places: Places,
    /// The running slot.
    pub running: Slot,
    /// What is in it.
    pub release: InSlot,
    /// The slot record.
    pub loaded: Loaded,
}

impl RunningSystem {
    /// Reads slots and record. Blocks.
    pub fn look(places: &Places, boot: &BootStatus) -> Result<RunningSystem, Error> {
        let known = boot.slot.zip(boot.manifest.as_deref());
        let (running, hash) = known.ok_or(Error::NotFromLoader)?;
        let path = &places.slots[running.index()];
        let release = release_in(path, Some(hash)).ok_or(Error::RunningSlot(running))?;
        let loaded = places.record().read().map_err(Error::ReadRecord)?;
        Ok(RunningSystem {
            places: places.clone(),
            running,
            release,
            loaded,
        })
    }

    /// Returns the slot that an upgrade writes.
    pub fn target(&self) -> Slot {
        self.running.other()
    }

    /// Returns the device of the slot that an upgrade writes.
    pub fn target_path(&self) -> &Path {
        &self.places.slots[self.target().index()]
    }

    /// Returns the slot record; without one, what the loader must have assumed.
    pub fn record(&self) -> Record {
        self.loaded
            .record
            .unwrap_or_else(|| Record::initial().commit(self.running))
    }

    /// Returns true if the other slot is to be tried with the next start.
    pub fn is_armed(&self) -> bool {
        let record = self.record();
        record.preferred == self.target()
            && matches!(record.slot(self.target()), SlotState::Trial { tries: 1.. })
    }

    /// Returns the keys that may sign an upgrade: those in the running release.
    pub fn keys(&self) -> Result<&[TrustedKey], Error> {
        match self.release.manifest.keys.as_slice() {
            [] => Err(Error::NoKeys(self.release.manifest.version)),
            keys => Ok(keys),
        }
    }

    /// Returns the input of the decision about a bundle.
    pub fn node(&self, partition_len: u64, objections: &[String]) -> Node {
        let manifest = &self.release.manifest;
        let record = self.record();
        Node {
            board: manifest.board.clone(),
            arch: manifest.arch,
            version: manifest.version,
            root_hash: manifest.slot.verity.root_hash,
            floor: record.floor,
            running: (self.running, record.slot(self.running)),
            partition_len,
            unhealthy: objections.to_vec(),
        }
    }
}

/// A reason against an upgrade.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    /// A short name for programs.
    pub code: &'static str,
    /// What is wrong, and how to fix it.
    pub text: String,
    /// Set when an admin may override it.
    pub can_be_forced: bool,
}

/// Lists the reasons against a bundle. Pure.
pub(super) fn findings(bundle: &Manifest, node: &Node) -> Vec<Finding> {
    let finding = |refusal: &Refusal| Finding {
        code: code(refusal),
        text: refusal.to_string(),
        can_be_forced: refusal.can_be_forced(),
    };
    refusals(bundle, node).iter().map(finding).collect()
}

/// Returns the reasons against the upgrade in one text; none when it may continue.
pub(super) fn in_the_way(findings: &[Finding], force: bool) -> Option<String> {
    let against: Vec<&Finding> = findings
        .iter()
        .filter(|finding| !(force && finding.can_be_forced))
        .collect();
    if against.is_empty() {
        return None;
    }
    let texts: Vec<&str> = against.iter().map(|finding| finding.text.as_str()).collect();
    let way_out = if against.iter().all(|finding| finding.can_be_forced) {
        "; an admin may override this with --force"
    } else {
        ""
    };
    Some(format!("{}{way_out}", texts.join("; ")))
}

fn code(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Board { .. } => "wrong-board",
        Refusal::Arch { .. } => "wrong-arch",
        Refusal::BelowFloor { .. } => "below-floor",
        Refusal::Running(_) => "already-running",
        Refusal::Older { .. } => "older",
        Refusal::TooLarge { .. } => "too-large",
        Refusal::OnTrial(_) => "on-trial",
        Refusal::Unhealthy(_) => "unwell",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(text: &str, can_be_forced: bool) -> Finding {
        Finding {
            code: "x",
            text: text.into(),
            can_be_forced,
        }
    }

    #[test]
    fn all_reasons_are_reported_and_force_overrides_some() {
        let (hard, soft) = (finding("wrong board", false), finding("unhealthy", true));
        assert_eq!(in_the_way(&[], false), None);
        assert_eq!(in_the_way(std::slice::from_ref(&soft), true), None);
        assert_eq!(
            in_the_way(std::slice::from_ref(&soft), false).unwrap(),
            "unhealthy; an admin may override this with --force"
        );
        let both = [hard, soft];
        assert_eq!(in_the_way(&both, false).unwrap(), "wrong board; unhealthy");
        assert_eq!(in_the_way(&both, true).unwrap(), "wrong board");
    }
}
