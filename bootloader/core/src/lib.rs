//! Chooses the slot to boot. Reads a slot record, returns a choice. Never touches firmware.
//!
//! In the order in which a loader uses them: [`examine`] checks a slot's last 64 KiB; [`Boot`] turns the slot record and
//! both results into steps, one at a time; [`KernelArguments`] informs the kernel of what was done and why. Before that,
//! [`firmware_try`] decides whether the firmware is asked to try other files, which [`device_tree`] and [`mailbox`] do.
//! Everything is data in, data out, so that every case can be tested on the host.
#![no_std]

mod arguments;
mod decide;
pub mod device_tree;
mod examine;
mod firmware;
pub mod mailbox;

pub use arguments::{KernelArguments, Timings};
pub use decide::{Attempt, Boot, Cause, Step};
pub use examine::{Expected, Refusal, examine};
pub use firmware::firmware_try;
