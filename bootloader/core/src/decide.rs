//! The decision: which slot is next, and what must be on the disk first.
//!
//! The rules, in order:
//! 1. A slot is only ever started when its manifest is verified and its version is not below the floor.
//! 2. The preferred slot first, then the other; each must be committed, or on trial with tries left.
//! 3. A trial is counted, on disk, before a byte of it is loaded. What cannot be counted is not tried.
//! 4. When neither is left, an abandoned slot is started after all, if it verifies now: a node that might come up is
//!    better than one that cannot. Such a start changes nothing in the record.
//! 5. A failed slot is marked bad only when the other one is started instead. So a medium with read errors can never
//!    make the record abandon its last committed slot.
//! 6. Without a valid record, the newer verified slot is on trial and the older one counts as committed: the newer
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
    /// It was selected in the menu.
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

/// The loader's next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Report that this slot is not started, and ask again.
    Refuse {
        /// The slot that is skipped.
        slot: Slot,
        /// Why.
        reason: Reason,
    },
    /// Load and start this slot. If that fails, report [`Boot::failed`] and ask again.
    Try(Attempt),
    /// Nothing can be started. Write the record if there is one, report it, and start over later.
    Exhausted(Option<Record>),
}

/// A start of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// The slot to start.
    pub slot: Slot,
    /// Its version.
    pub version: Version,
    /// Why this slot was chosen.
    pub cause: Cause,
    /// The record that must be on disk before anything of the slot is loaded. If it cannot be written, the attempt fails with
    /// [`Reason::RecordNotWritten`].
    pub before_load: Option<Record>,
    /// The record to write after the whole slot is verified, right before it is started. Writing it may fail.
    pub before_start: Option<Record>,
}

/// The decisions of one boot, step by step.
#[derive(Debug, Clone)]
pub struct Boot {
    /// What is on the disk.
    stored: Option<Record>,
    /// The actual state: the record as it was found (or rebuilt, rule 6), minus the tries used in this boot.
    base: Record,
    /// `base` before the latest try was used.
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
    /// Starts the decision, from the record and the result of [`crate::examine`] for slot A and slot B.
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

    /// Puts the slot that was selected in the menu before all others. It must still verify, and respect the floor.
    pub fn choose(&mut self, slot: Slot) {
        self.turns[0] = Some(Turn::Chosen(slot));
    }

    /// Returns the record that the decision is based on.
    pub fn record(&self) -> &Record {
        &self.base
    }

    /// Returns why each slot was skipped or failed so far.
    pub fn failures(&self) -> impl Iterator<Item = (Slot, Reason)> {
        Slot::ALL
            .into_iter()
            .filter_map(|slot| Some((slot, self.failed[slot.index()]?)))
    }

    /// Reports that this record is now on the disk.
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
        // What has just failed is not tried again in this boot, whatever the record says.
        self.findings[slot.index()] = Err(reason);
    }

    /// Returns the next step. At most five calls come to [`Step::Exhausted`].
    pub fn step(&mut self) -> Step {
        while let Some(turn) = self.turns.get(self.next).copied() {
            self.next += 1;
            let step = match turn {
                Some(Turn::Chosen(slot)) => Some(self.chosen(slot)),
                // Selected in the menu, and skipped or failed already.
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
            // The reason why it was abandoned is more useful than what is wrong with it today.
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
        // Nothing is marked: if the medium reads better tomorrow, the committed slot is started again.
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

    /// Returns the record after `started` runs: the other slot, if it failed, is bad (rule 5).
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

/// Rebuilds a lost record only from what the slots prove (rule 6).
fn rebuilt(findings: &[Result<Version, Reason>; 2]) -> Record {
    let record = Record::initial();
    match findings {
        [Ok(a), Ok(b)] if b > a => record.arm_trial(Slot::B, TRIAL_TRIES),
        [Ok(a), Ok(b)] if b < a => record.commit(Slot::B).arm_trial(Slot::A, TRIAL_TRIES),
        // The same release twice: either is fine.
        [Ok(_), Ok(_)] => record.commit(Slot::B).commit(Slot::A),
        [Err(_), Ok(_)] => record.erase(Slot::A).commit(Slot::B),
        [_, Err(_)] => record,
    }
}

#[cfg(test)]
mod tests;
