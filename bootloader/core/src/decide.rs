//! The decision: which slot next, and what must be on the disk before.
//!
//! The rules, in order:
//! 1. A slot is only ever started when its manifest is verified and its version is not below the floor.
//! 2. The preferred slot first, then the other; each must be committed, or on trial with tries left.
//! 3. A trial is counted, on disk, before a byte of it is loaded. What cannot be counted is not tried.
//! 4. When neither is left, a slot that was given up is started after all, if it verifies now: a node that might come
//!    up beats one that cannot. Such a start changes nothing in the record.
//! 5. A slot that failed is marked bad only when the other one is started in its place. So a medium that stutters
//!    can never talk the record out of its last committed slot.
//! 6. Without any valid record, the newer verified slot is on trial and the older one counts as committed: the newer
//!    was written by a running system, which must have been the older.

use core::fmt;

use slots::{Loaded, Reason, Record, Slot, SlotState, TRIAL_TRIES, Version};

/// Why a slot was chosen; `bedplate.cause` on the kernel's command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// It is the preferred slot, and committed.
    Preferred,
    /// It is the preferred slot, and on trial.
    Trial,
    /// The other slot could not be started.
    Fallback,
    /// Somebody picked it in the menu.
    Menu,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cause::Preferred => "preferred",
            Cause::Trial => "trial",
            Cause::Fallback => "fallback",
            Cause::Menu => "menu",
        })
    }
}

/// Tells the loader what to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Say that this slot is not started, and ask again.
    Refuse {
        /// The slot that is passed over.
        slot: Slot,
        /// Why.
        reason: Reason,
    },
    /// Load and start this slot. If that fails, report [`Boot::failed`] and ask again.
    Try(Attempt),
    /// Nothing can be started. Write the record if there is one, tell the user, and start over later.
    Exhausted(Option<Record>),
}

/// Describes one start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// The slot to start.
    pub slot: Slot,
    /// Its version.
    pub version: Version,
    /// Why this slot.
    pub cause: Cause,
    /// Must be on disk before anything of the slot is loaded. If it cannot be written, the attempt has failed with
    /// [`Reason::RecordNotWritten`].
    pub before_load: Option<Record>,
    /// To be written once the slot is verified as a whole, right before it is started. May fail.
    pub before_start: Option<Record>,
}

/// Decides, step by step, what happens in one boot.
#[derive(Debug, Clone)]
pub struct Boot {
    /// What is on the disk.
    stored: Option<Record>,
    /// What is true: the record as it was found (or made up for, rule 6), less the tries spent in this boot.
    base: Record,
    /// `base` before the latest try was spent.
    uncounted: Record,
    findings: [Result<Version, Reason>; 2],
    failed: [Option<Reason>; 2],
    turns: [Option<Turn>; 5],
    next: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Chosen(Slot),
    Regular(Slot),
    LastResort(Slot),
}

impl Boot {
    /// Starts deciding, from the record and from what [`crate::examine`] says about slot A and slot B.
    pub fn new(loaded: &Loaded, findings: [Result<Version, Reason>; 2]) -> Boot {
        let base = loaded.record.unwrap_or_else(|| rebuilt(&findings));
        let (first, second) = (base.preferred, base.preferred.other());
        let turns = [
            None,
            Some(Turn::Regular(first)),
            Some(Turn::Regular(second)),
            Some(Turn::LastResort(first)),
            Some(Turn::LastResort(second)),
        ];
        Boot {
            stored: loaded.record,
            base,
            uncounted: base,
            findings,
            failed: [None; 2],
            turns,
            next: 0,
        }
    }

    /// Puts the slot that somebody picked in the menu before all others. Even then it must verify, and respect the
    /// floor.
    pub fn choose(&mut self, slot: Slot) {
        self.turns[0] = Some(Turn::Chosen(slot));
    }

    /// Returns the record that the decision rests on.
    pub fn record(&self) -> &Record {
        &self.base
    }

    /// Returns why each slot was passed over or failed, as far as this boot came.
    pub fn failures(&self) -> impl Iterator<Item = (Slot, Reason)> {
        Slot::ALL
            .into_iter()
            .filter_map(|slot| Some((slot, self.failed[slot.index()]?)))
    }

    /// Reports that a record of ours is on the disk now.
    pub fn stored(&mut self, record: Record) {
        self.stored = Some(record);
    }

    /// Reports that an attempt failed.
    pub fn failed(&mut self, slot: Slot, reason: Reason) {
        if reason == Reason::RecordNotWritten {
            // Neither tried nor counted.
            self.base = self.uncounted;
        }
        self.failed[slot.index()] = Some(reason);
        // What failed just now is not tried again in this boot, whatever the record says.
        self.findings[slot.index()] = Err(reason);
    }

    /// Returns the next step. At most five calls come to [`Step::Exhausted`].
    pub fn step(&mut self) -> Step {
        while let Some(turn) = self.turns.get(self.next).copied() {
            self.next += 1;
            let step = match turn {
                Some(Turn::Chosen(slot)) => Some(self.chosen(slot)),
                // Picked in the menu, and passed over or failed already.
                Some(Turn::Regular(slot)) if self.turns[0] == Some(Turn::Chosen(slot)) => None,
                Some(Turn::Regular(slot)) => Some(self.regular(slot)),
                Some(Turn::LastResort(slot)) => self.last_resort(slot),
                None => None,
            };
            if let Some(step) = step {
                return step;
            }
        }
        let restore = self.stored.is_some_and(|stored| stored != self.base);
        Step::Exhausted(restore.then_some(self.base))
    }

    fn chosen(&mut self, slot: Slot) -> Step {
        match (self.base.slot(slot), self.startable(slot)) {
            (SlotState::Empty, _) => self.refuse(slot, Reason::Empty),
            (_, Err(reason)) => self.refuse(slot, reason),
            (_, Ok(version)) => self.attempt(slot, version, Cause::Menu),
        }
    }

    fn regular(&mut self, slot: Slot) -> Step {
        let version = match (self.base.slot(slot), self.startable(slot)) {
            (SlotState::Empty, _) => return self.refuse(slot, Reason::Empty),
            // Why it was given up is worth more to the user than what is wrong with it today.
            (SlotState::Bad(reason), _) => return self.refuse(slot, reason),
            (_, Err(reason)) => return self.refuse(slot, reason),
            (SlotState::Trial { tries: 0 }, Ok(_)) => return self.refuse(slot, Reason::TriesExhausted),
            (SlotState::Trial { .. } | SlotState::Committed, Ok(version)) => version,
        };
        let cause = match self.base.slot(slot) {
            _ if slot != self.base.preferred => Cause::Fallback,
            SlotState::Committed => Cause::Preferred,
            _ => Cause::Trial,
        };
        self.attempt(slot, version, cause)
    }

    fn last_resort(&mut self, slot: Slot) -> Option<Step> {
        let given_up = matches!(
            self.base.slot(slot),
            SlotState::Bad(_) | SlotState::Trial { tries: 0 }
        );
        let version = self.startable(slot).ok().filter(|_| given_up)?;
        // Nothing is marked: when the medium reads better tomorrow, the committed slot is started again.
        let attempt = Attempt {
            slot,
            version,
            cause: Cause::Fallback,
            before_load: None,
            before_start: None,
        };
        Some(Step::Try(attempt))
    }

    fn startable(&self, slot: Slot) -> Result<Version, Reason> {
        let version = self.findings[slot.index()]?;
        if version < self.base.floor {
            Err(Reason::BelowFloor)
        } else {
            Ok(version)
        }
    }

    fn refuse(&mut self, slot: Slot, reason: Reason) -> Step {
        self.failed[slot.index()] = Some(reason);
        Step::Refuse { slot, reason }
    }

    fn attempt(&mut self, slot: Slot, version: Version, cause: Cause) -> Step {
        self.uncounted = self.base;
        let counted = self.base.spend_try(slot);
        self.base = counted.unwrap_or(self.base);
        let settled = self.settled(slot);
        let on_disk = counted.or(self.stored);
        let before_start = (on_disk != Some(settled)).then_some(settled);
        Step::Try(Attempt {
            slot,
            version,
            cause,
            before_load: counted,
            before_start,
        })
    }

    /// The record that is true once `started` runs: the other slot, if it failed, is bad (rule 5).
    fn settled(&self, started: Slot) -> Record {
        let other = started.other();
        let given_up = match (self.base.slot(other), self.failed[other.index()]) {
            // The record could not be written: that says nothing about the slot.
            (_, None | Some(Reason::RecordNotWritten)) | (SlotState::Empty | SlotState::Bad(_), _) => {
                return self.base;
            }
            (SlotState::Trial { .. } | SlotState::Committed, Some(reason)) => reason,
        };
        self.base.mark_bad(other, given_up)
    }
}

/// Makes up for a lost record, from nothing but what the slots prove (rule 6).
fn rebuilt(findings: &[Result<Version, Reason>; 2]) -> Record {
    let record = Record::initial();
    match findings {
        [Ok(a), Ok(b)] if b > a => record.arm_trial(Slot::B, TRIAL_TRIES),
        [Ok(a), Ok(b)] if b < a => record.commit(Slot::B).arm_trial(Slot::A, TRIAL_TRIES),
        // The same release twice: either will do.
        [Ok(_), Ok(_)] => record.commit(Slot::B).commit(Slot::A),
        [Err(_), Ok(_)] => record.erase(Slot::A).commit(Slot::B),
        [_, Err(_)] => record,
    }
}

#[cfg(test)]
mod tests;
