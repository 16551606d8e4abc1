//! Brings a bundle into the slot that is not running: what to fetch, what to write, in which order.
//!
//! A bundle is read in pieces from a [`Source`]: a file, a web server, a stream. [`Release`] is an open bundle.
//! [`refusals`] lists why a node should not take it; [`prepare`] reads both slots and makes a [`Plan`] of what has to
//! be fetched; [`carry_out`] executes the plan, and [`arm`] puts the new slot on trial; [`install`] does all three.
//!
//! There is no journal. The signed hash tree shows what the target slot already holds, so an upgrade that was
//! interrupted starts again and fetches only what is missing. The running slot stays bootable at all times: the target's
//! manifest is wiped first and written last, and the slot record changes only after the target was read back and verified.
//!
//! The design and its alternatives: docs/decisions/0090-upgrade-without-a-journal.md.

mod blocks;
mod control;
mod error;
mod install;
mod plan;
mod record;
mod refuse;
mod release;
mod survey;
mod write;

pub use control::{Control, Progress, Stage};
pub use error::Error;
pub use install::{Disk, Report, arm, carry_out, disarm, install};
pub use plan::{Choice, Cost, Extent, ExtentSource, Found, Plan};
pub use record::SlotRecord;
pub use refuse::{Node, Refusal, refusals};
pub use release::{Release, Source};
pub use survey::{Prepared, Slots, prepare};
