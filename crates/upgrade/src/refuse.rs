//! Reasons for a node to refuse a bundle.

use std::fmt;

use manifest::{Arch, Digest, Manifest};
use slots::{Slot, SlotState, Version};

/// The state of the node, which the decision is based on.
#[derive(Debug, Clone)]
pub struct Node {
    /// The board that the running system is for.
    pub board: String,
    /// Its instruction set.
    pub arch: Arch,
    /// Its version.
    pub version: Version,
    /// Root hash of the running slot image.
    pub root_hash: Digest,
    /// The lowest version that may boot.
    pub floor: Version,
    /// The running slot, and its state in the slot record.
    pub running: (Slot, SlotState),
    /// The length in bytes of the partition to be written.
    pub partition_len: u64,
    /// Why the node is unhealthy; empty when it is healthy.
    pub unhealthy: Vec<String>,
}

/// One reason to refuse a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The bundle is for another board.
    Board {
        /// The bundle's.
        bundle: String,
        /// The node's.
        node: String,
    },
    /// The bundle is for another architecture.
    Arch {
        /// The bundle's.
        bundle: Arch,
        /// The node's.
        node: Arch,
    },
    /// The loader would not start it.
    BelowFloor {
        /// The bundle's version.
        version: Version,
        /// The node's floor.
        floor: Version,
    },
    /// The same image is running.
    Running(Version),
    /// A newer release is running.
    Older {
        /// The bundle's version.
        version: Version,
        /// The running one.
        running: Version,
    },
    /// The slot is too small.
    TooLarge {
        /// Bytes that are needed.
        need: u64,
        /// Bytes that there are.
        have: u64,
    },
    /// The running system is itself on trial: there is nothing else to fall back to.
    OnTrial(Slot),
    /// The node is unhealthy, and might not come back.
    Unhealthy(String),
}

impl Refusal {
    /// Returns true if an admin may override it.
    pub fn can_be_forced(&self) -> bool {
        matches!(self, Refusal::Older { .. } | Refusal::Unhealthy(_))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Board { bundle, node } => write!(
                f,
                "the bundle is for board {bundle}, and this node is a {node}: use the bundle for {node}"
            ),
            Refusal::Arch { bundle, node } => {
                write!(f, "the bundle is for {bundle}, and this node runs {node}")
            }
            Refusal::BelowFloor { version, floor } => write!(
                f,
                "version {version} is below {floor}, the lowest that may boot here: use a newer bundle"
            ),
            Refusal::Running(version) => write!(f, "version {version} with this image is already running"),
            Refusal::Older { version, running } => write!(
                f,
                "version {version} is older than {running}, which is running: `rollback` goes back to the other slot, \
                 --force installs it anyway"
            ),
            Refusal::TooLarge { need, have } => write!(
                f,
                "the slot image needs {need} bytes, and the slot has {have}: this disk must be flashed again"
            ),
            Refusal::OnTrial(slot) => write!(
                f,
                "slot {slot} runs on trial: wait until it is committed, so that there is something to fall back to"
            ),
            Refusal::Unhealthy(why) => write!(f, "the node is unhealthy ({why}) and might not come back"),
        }
    }
}

/// Lists every reason to refuse the bundle, the most serious first. Pure.
pub fn refusals(bundle: &Manifest, node: &Node) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    let mut add = |holds: bool, refusal: Refusal| {
        if holds {
            refusals.push(refusal);
        }
    };
    add(
        bundle.board != node.board,
        Refusal::Board {
            bundle: bundle.board.clone(),
            node: node.board.clone(),
        },
    );
    add(
        bundle.arch != node.arch,
        Refusal::Arch {
            bundle: bundle.arch,
            node: node.arch,
        },
    );
    let version = bundle.version;
    add(
        version < node.floor,
        Refusal::BelowFloor {
            version,
            floor: node.floor,
        },
    );
    let have = node.partition_len.saturating_sub(manifest::trailer::AREA as u64);
    add(
        bundle.slot.size > have,
        Refusal::TooLarge {
            need: bundle.slot.size,
            have,
        },
    );
    let (slot, state) = node.running;
    add(matches!(state, SlotState::Trial { .. }), Refusal::OnTrial(slot));
    let same = bundle.slot.verity.root_hash == node.root_hash && version == node.version;
    add(same, Refusal::Running(version));
    add(
        version < node.version,
        Refusal::Older {
            version,
            running: node.version,
        },
    );
    add(
        !node.unhealthy.is_empty(),
        Refusal::Unhealthy(node.unhealthy.join("; ")),
    );
    refusals
}
