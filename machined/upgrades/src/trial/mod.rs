//! The slots, and whether a system on trial is committed.
//!
//! [`record`] reads and writes the slot record; [`keep`] decides, from the node's health, what becomes of a trial;
//! [`commit`] is what is kept with it: the floor, and the keys that are trusted. A system on trial keeps a [`diary`], so
//! that the old one can say why it failed. The controller [`Slots`] does it, and publishes `SlotStatus` and
//! [`TrialStatus`].

mod chain_file;
mod commit;
mod controller;
mod damaged;
mod decision;
mod diary;
mod diary_file;
mod diary_writer;
mod places;
#[cfg(test)]
mod power_cut_tests;
mod progress;
mod record;

pub use chain_file::ChainFile;
pub use controller::Slots;
pub use damaged::abandon_damaged;
pub use diary::{Diary, DiaryCheck, TrialStage};
pub use diary_file::DiaryFile;
pub use diary_writer::{DiaryWriter, begin, boot_id, last_words};
pub use places::Places;
pub use record::{InSlot, RecordFile, manifest_in, release_in};
