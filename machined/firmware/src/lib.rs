//! The EFI system partition (ESP) of the node: what firmware reads before anything of a slot is verified.
//!
//! Each release has in its verified root the files that it puts on the ESP, and their list (crate `firmware-files`).
//! [`survey`] reads the partition and compares; [`repair`] writes what differs so that a power cut leaves each file old or new
//! (crate `fat`). On boards whose firmware can, [`trial`] has it try them first: the loader is asked by a mark in BOOTSTATE (crate
//! `firmware-trial`), and [`verdict`] decides by the node's health. [`FirmwareWatch`] compares at each start, and publishes [`FirmwareStatus`](state::kinds::FirmwareStatus).
//! [`FirmwareHandle`] answers the API. [`memory`] keeps which release's files are on the partition, so that what another
//! release of ours put there is told from what somebody changed.
//!
//! A partition that is missing, damaged or changed is reported and never stops a node: it has started.

mod controller;
mod handle;
mod mark_file;
mod memory;
mod places;
mod repair;
mod survey;
mod trial;
mod verdict;

pub use controller::FirmwareWatch;
pub use handle::FirmwareHandle;
pub use places::Places;
