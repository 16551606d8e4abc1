//! Abandons a slot whose root is damaged, before it runs.

use std::io;

use slots::{Reason, Slot, SlotState};

use super::diary_writer::{last_words, own_bootstate};
use super::record::RecordFile;

/// Records why in the diary, and makes the loader start the other slot from now on, if that one was kept: also when the
/// running one was. No count of starts is needed when the medium itself does not hold what was signed.
///
/// Without another committed slot, nothing is marked: the medium may read better tomorrow.
pub fn abandon_damaged(reason: &str) {
    // First, because only a slot on trial has a diary.
    last_words(reason);
    // What cannot be marked is tried again, and a trial is counted by the loader.
    let _unmarked = own_bootstate().and_then(|(line, bootstate)| {
        let slot = line.slot?;
        mark(&RecordFile::new(&bootstate.device), slot).ok()
    });
}

/// Marks a slot as bad, if the other one is committed; returns true if it did.
fn mark(file: &RecordFile, slot: Slot) -> io::Result<bool> {
    let loaded = file.read()?;
    let other_is_kept = |record: &slots::Record| record.slot(slot.other()) == SlotState::Committed;
    let Some(record) = loaded.record.filter(other_is_kept) else {
        return Ok(false);
    };
    file.write(&loaded, &record.mark_bad(slot, Reason::RootHash))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use slots::Record;

    use super::*;

    fn after(record: Record) -> (bool, Record) {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1024 * 1024).unwrap();
        let on_disk = RecordFile::new(file.path());
        on_disk.write(&on_disk.read().unwrap(), &record).unwrap();
        let marked = mark(&on_disk, Slot::B).unwrap();
        (marked, on_disk.read().unwrap().record.unwrap())
    }

    #[test]
    fn another_committed_slot_takes_over() {
        for record in [
            Record::initial().arm_trial(Slot::B, 2),
            Record::initial().commit(Slot::B),
        ] {
            assert_eq!(after(record), (true, record.mark_bad(Slot::B, Reason::RootHash)));
        }
    }

    #[test]
    fn the_last_slot_is_never_abandoned() {
        let kept = Record::initial().commit(Slot::B);
        for other in [
            SlotState::Empty,
            SlotState::Bad(Reason::KernelHash),
            SlotState::Trial { tries: 3 },
        ] {
            let record = kept.with_slot(Slot::A, other);
            assert_eq!(after(record), (false, record));
        }
    }
}
