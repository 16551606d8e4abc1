//! The slot record: which slot to boot, and how often it may still be tried.
//!
//! Two copies of one small [`Record`] lie in the BOOTSTATE partition, in separate erase blocks. A change writes
//! the older copy and flushes, so a torn write never leaves no valid copy. This crate turns bytes into records
//! and back, and names the moves between states. It never reads or writes a disk, and never chooses a slot:
//! that is `bootloader-core`'s.
#![no_std]

mod codec;
mod reason;
pub mod start_mark;
#[cfg(feature = "serde")]
mod text;
mod version;

pub use codec::{COPY_OFFSETS, DecodeError, Loaded, RECORD_LEN, decode, encode, load};
pub use reason::Reason;
pub use version::{ParseVersionError, Version};

use core::fmt;
use core::str::FromStr;

use layout::Name;

/// One of the two partitions that can each hold a whole system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// Partition SLOT-A.
    A,
    /// Partition SLOT-B.
    B,
}

impl Slot {
    /// Both slots, A first.
    pub const ALL: [Slot; 2] = [Slot::A, Slot::B];

    /// Returns the other slot.
    pub const fn other(self) -> Slot {
        match self {
            Slot::A => Slot::B,
            Slot::B => Slot::A,
        }
    }

    /// Returns this slot's place in arrays that hold one entry per slot.
    pub const fn index(self) -> usize {
        match self {
            Slot::A => 0,
            Slot::B => 1,
        }
    }

    /// Returns the GPT name of this slot's partition.
    pub const fn partition(self) -> &'static str {
        match self {
            Slot::A => Name::SlotA.as_str(),
            Slot::B => Name::SlotB.as_str(),
        }
    }

    /// Returns `a` or `b`, as in the kernel's command line and on the console.
    pub const fn name(self) -> &'static str {
        match self {
            Slot::A => "a",
            Slot::B => "b",
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The error for a text that names no slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no such slot; known: a, b")]
pub struct ParseSlotError;

impl FromStr for Slot {
    type Err = ParseSlotError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "a" => Ok(Slot::A),
            "b" => Ok(Slot::B),
            _ => Err(ParseSlotError),
        }
    }
}

/// The state of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SlotState {
    /// Nothing to boot: never written, or being written right now.
    Empty,
    /// On trial: written, and not yet found healthy.
    Trial {
        /// Starts that are left.
        tries: u8,
    },
    /// Found healthy. Starts of it are not counted.
    Committed,
    /// Failed, and why. Started only when nothing better is left.
    Bad(Reason),
}

impl fmt::Display for SlotState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SlotState::Empty => f.write_str("empty"),
            SlotState::Trial { tries: 1 } => f.write_str("on trial, 1 try left"),
            SlotState::Trial { tries } => write!(f, "on trial, {tries} tries left"),
            SlotState::Committed => f.write_str("committed"),
            SlotState::Bad(reason) => write!(f, "bad: {reason}"),
        }
    }
}

/// The loader's memory between boots.
///
/// A value is only data: the moves below return a changed copy, and nothing is on the disk until [`encode`]d bytes
/// are written at [`Loaded::write_to`] and flushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Record {
    /// State of slot A, then of slot B.
    pub slots: [SlotState; 2],
    /// The slot to start when it can be started.
    pub preferred: Slot,
    /// The lowest version that may be started at all.
    pub floor: Version,
}

/// The number of starts of a newly written slot before it counts as failed.
pub const TRIAL_TRIES: u8 = 3;

impl Record {
    /// Describes a freshly flashed disk: A holds the system, B nothing.
    pub const fn initial() -> Record {
        Record {
            slots: [SlotState::Committed, SlotState::Empty],
            preferred: Slot::A,
            floor: Version {
                major: 0,
                minor: 0,
                patch: 0,
            },
        }
    }

    /// Returns what is known about one slot.
    pub const fn slot(&self, slot: Slot) -> SlotState {
        self.slots[slot.index()]
    }

    /// Replaces the state of one slot.
    pub const fn with_slot(mut self, slot: Slot, state: SlotState) -> Record {
        self.slots[slot.index()] = state;
        self
    }

    /// Marks a slot as holding nothing, before it is written: a half-written slot must not be started.
    pub const fn erase(self, slot: Slot) -> Record {
        self.with_slot(slot, SlotState::Empty)
    }

    /// Puts a completely written slot on trial and prefers it.
    pub const fn arm_trial(mut self, slot: Slot, tries: u8) -> Record {
        self.preferred = slot;
        self.with_slot(slot, SlotState::Trial { tries })
    }

    /// Counts one start of a slot on trial; `None` when the slot is not on trial or has no try left.
    pub const fn spend_try(self, slot: Slot) -> Option<Record> {
        match self.slot(slot) {
            SlotState::Trial { tries: 1.. } => {
                let SlotState::Trial { tries } = self.slot(slot) else {
                    return None;
                };
                Some(self.with_slot(slot, SlotState::Trial { tries: tries - 1 }))
            }
            _ => None,
        }
    }

    /// Takes a healthy slot for good, and prefers it.
    pub const fn commit(mut self, slot: Slot) -> Record {
        self.preferred = slot;
        self.with_slot(slot, SlotState::Committed)
    }

    /// Marks a slot as failed.
    pub const fn mark_bad(self, slot: Slot, reason: Reason) -> Record {
        self.with_slot(slot, SlotState::Bad(reason))
    }

    /// Raises the lowest version that may boot. A lower floor than the present one changes nothing.
    pub fn raise_floor(mut self, floor: Version) -> Record {
        self.floor = self.floor.max(floor);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trial_is_spent_down_to_none() {
        let mut record = Record::initial().arm_trial(Slot::B, 2);
        assert_eq!(record.preferred, Slot::B);
        record = record.spend_try(Slot::B).unwrap();
        record = record.spend_try(Slot::B).unwrap();
        assert_eq!(record.slot(Slot::B), SlotState::Trial { tries: 0 });
        assert_eq!(record.spend_try(Slot::B), None);
    }

    #[test]
    fn committed_slots_are_not_counted() {
        assert_eq!(Record::initial().spend_try(Slot::A), None);
    }

    #[test]
    fn floor_only_rises() {
        let version = |text: &str| text.parse::<Version>().unwrap();
        let record = Record::initial()
            .raise_floor(version("1.2.0"))
            .raise_floor(version("1.1.9"));
        assert_eq!(record.floor, version("1.2.0"));
    }

    #[test]
    fn slot_names_round_trip() {
        for slot in Slot::ALL {
            assert_eq!(slot.name().parse(), Ok(slot));
            assert_eq!(slot.other().other(), slot);
        }
        assert_eq!("A".parse::<Slot>(), Err(ParseSlotError));
    }
}
