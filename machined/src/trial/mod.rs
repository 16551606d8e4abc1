//! The slots, and whether a system on trial is kept.
//!
//! [`record`] reads and writes the slot record; [`health`] decides whether the node is well; [`keep`] decides what
//! becomes of a trial. The controller [`Slots`] does it, and publishes `SlotStatus`, [`HealthStatus`] and
//! [`TrialStatus`].

mod controller;
mod health;
mod keep;
mod record;
mod status;

pub use controller::{Places, Slots};
pub use record::{RecordFile, manifest_in};
pub use status::{CheckResult, HealthStatus, TrialStatus};
