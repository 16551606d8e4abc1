//! Brings a bundle into the slot that is not running: what to fetch, what to write, in which order.
//!
//! A bundle is read in pieces from a [`Source`]: a file, a web server, a stream. [`Release`] is an opened one.
//! [`refusals`] says why a node should not take it; [`prepare`] looks at both slots and makes a [`Plan`] of what has to
//! be fetched; [`carry_out`] does it, and [`arm`] puts the new slot on trial; [`install`] is all three.
//!
//! There is no journal. What the target slot holds is told by the signed hash tree, so an upgrade that was cut short is
//! begun again and fetches what is missing. At every moment the running slot stays bootable: the manifest of the target
//! is wiped first and written last, and the slot record changes only when the target was read back and proved.
//!
//! The design, with what was decided against: docs/decisions/0090-upgrade-without-a-journal.md.

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
pub use plan::{Choice, Cost, Extent, Found, Plan, Way};
pub use record::SlotRecord;
pub use refuse::{Node, Refusal, refusals};
pub use release::{Release, Source};
pub use survey::{Prepared, Slots, prepare};
