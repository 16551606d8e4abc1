//! Flashes a bundle to a disk or a file: verifies, writes, injects a machine config, reads back.
//!
//! Decisions and I/O are separate. [`plan`] is pure: from the bundle's facts and the medium's size it computes every byte
//! that will be written. [`apply`] executes a plan on any [`medium::Medium`]; it checks each piece before writing it, and
//! reports success only after it has read the medium back and inspected it as a node would. [`host`] lists disks, [`contents`] says what
//! is on them, [`target`] decides which of them may be written to. [`fleet`] flashes many cards, one row of a file for each. [`Args`] is the command line of `bedplate-flash` and `bedplate flash`. Knows no
//! board by name.

mod piece;
mod pieces;
mod pipeline;
pub mod plan;

pub mod apply;
pub mod check;
mod consistency;
mod error;
mod frames;
mod inspect;
pub mod limit;
pub mod report;
mod serial;
mod verify;
pub mod watch;

pub mod contents;
pub mod host;
pub mod safety;
pub mod target;

pub mod args;
mod ask;
mod bars;
pub mod config;
pub mod firmware;
pub mod fleet;
mod interrupt;
pub mod keep;
pub mod keys;
mod lossy_path;
mod program;
mod run;
mod show;

pub use apply::apply;
pub use args::Args;
pub use check::{Checked, check};
pub use error::ApplyError;
pub use plan::{BundleFacts, Options, Plan, PlanError, plan};
pub use program::{main_from, print_message};
pub use report::Report;
pub use run::FlashError;
