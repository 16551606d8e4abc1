//! Why a node should not take a bundle.

use std::fmt;

use manifest::{Arch, Digest, Manifest};
use slots::{Slot, SlotState, Version};

/// What the decision is made from: the node.
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
    /// Which slot runs, and what the slot record says of it.
    pub running: (Slot, SlotState),
    /// Bytes of the partition of the slot to be written.
    pub partition_len: u64,
    /// Why the node is not well; empty when it is.
    pub unwell: Vec<String>,
}

/// Is one reason.
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
    /// This very image runs.
    Running(Version),
    /// A newer release runs.
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
    /// The running system is on trial itself: there is nothing else to fall back to.
    OnTrial(Slot),
    /// The node is not well, and might not come back.
    Unwell(String),
}

impl Refusal {
    /// Tells whether an admin may override it.
    pub fn can_be_forced(&self) -> bool {
        matches!(self, Refusal::Older { .. } | Refusal::Unwell(_))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Board { bundle, node } => write!(
                f,
                "the bundle is for board {bundle}, and this node is a {node}: take the bundle for {node}"
            ),
            Refusal::Arch { bundle, node } => {
                write!(f, "the bundle is for {bundle}, and this node runs {node}")
            }
            Refusal::BelowFloor { version, floor } => write!(
                f,
                "version {version} is below {floor}, the lowest that may still boot here: take a newer bundle"
            ),
            Refusal::Running(version) => write!(f, "this very image of version {version} runs already"),
            Refusal::Older { version, running } => write!(
                f,
                "version {version} is older than {running}, which runs: `rollback` goes back to the other slot, \
                 --force installs it all the same"
            ),
            Refusal::TooLarge { need, have } => write!(
                f,
                "the slot image needs {need} bytes, and the slot has {have}: this disk must be flashed anew"
            ),
            Refusal::OnTrial(slot) => write!(
                f,
                "slot {slot} runs on trial: wait until it is committed, so that there is something to fall back to"
            ),
            Refusal::Unwell(why) => write!(f, "the node is not well ({why}), and might not come back"),
        }
    }
}

/// Lists every reason against the bundle, the gravest first. Pure.
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
    add(!node.unwell.is_empty(), Refusal::Unwell(node.unwell.join("; ")));
    refusals
}
