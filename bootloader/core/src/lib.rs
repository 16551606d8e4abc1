//! Chooses the slot to boot. Reads a slot record, returns a choice. Never touches firmware.
//!
//! In the order in which a loader uses them: [`examine`] checks a slot's last 64 KiB; [`Boot`] turns the slot record and
//! both results into steps, one at a time; [`KernelArguments`] informs the kernel of what was done and why. Everything is
//! data in, data out, so that every case can be tested on the host.
#![no_std]

mod arguments;
mod decide;
mod examine;

pub use arguments::{KernelArguments, Timings};
pub use decide::{Attempt, Boot, Cause, Step};
pub use examine::{Expected, Refusal, examine};
