//! Upgrades: writes a bundle to the other slot, and follows its outcome.
//!
//! [`UpgradeHandle`] starts, cancels and rolls back, for the API; one job at a time, in a thread that gives way to
//! everything else (`job`, over the crate `upgrade`), from a web server or from a client (`source`). Whether the node may
//! take a bundle is decided in `preflight`, with the [`hooks`] that later parts of the node hang on; [`window`] says when
//! it may restart. [`status`] is what is shown of it. [`history`] keeps what became of each, over restarts, and
//! `conclude` decides that from what the slots and the diary of the trial say. The controller [`UpgradeController`] does what
//! has its time: conclusions, maintenance windows, and upgrades that a power cut interrupted. [`RolloutFollower`] begins the
//! upgrade that a signed rollout has for the node, and `word` says whether that still wants it before the node restarts.

mod arm;
mod cancel;
mod conclude;
mod controller;
mod drive;
mod error;
mod estimate;
mod follow;
mod handle;
pub mod history;
mod hold;
pub mod hooks;
mod job;
mod plan;
mod preflight;
mod rollback;
mod rollout_verdict;
mod serve;
mod show;
mod source;
pub mod status;
mod supersede;
mod throttle;
pub mod trial;
pub mod window;

pub use controller::UpgradeController;
pub use follow::RolloutFollower;
pub use handle::{UpgradeContext, UpgradeHandle};

#[cfg(test)]
mod tests;
