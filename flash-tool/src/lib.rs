//! Flashes a bundle to a disk or a file: verifies, writes, injects a machine config, reads back.
//!
//! Deciding and doing are apart. [`plan`] is pure: from a bundle's facts and a medium's size it works out every byte
//! that will be written, and nothing else ever is. [`apply`] carries a plan out on any [`medium::Medium`]; it checks
//! each piece before writing it, and does not call a medium good before it has read it back and taken it apart the way
//! a node will. [`host`] finds disks, [`target`] says which of them may be written to. [`Args`] is all of this as a
//! command, for `bedplate-flash` and for `bedplate flash`. Knows no board by name.

mod piece;
pub mod plan;

pub mod apply;
pub mod check;
mod error;
mod inspect;
pub mod report;
pub mod watch;

pub mod host;
pub mod safety;
pub mod target;

pub mod args;
mod ask;
mod bars;
pub mod config;
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
pub use program::{main_from, told};
pub use report::Report;
pub use run::FlashError;
