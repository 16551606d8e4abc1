//! Chooses the slot to boot. Reads a slot record, returns a choice. Never touches firmware.
//!
//! In the order in which a loader uses them: [`examine`] says what a slot's last 64 KiB prove; [`Boot`] turns the slot
//! record and both findings into steps, one at a time; [`KernelArguments`] tells the kernel what was done and why.
//! All of it is data in, data out, so that every case runs as a test on a desk.
#![no_std]

mod arguments;
mod decide;
mod examine;

pub use arguments::{KernelArguments, Timings};
pub use decide::{Attempt, Boot, Cause, Step};
pub use examine::{Expected, Refusal, examine};
