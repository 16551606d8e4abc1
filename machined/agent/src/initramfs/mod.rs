//! From the kernel's start to the verified root: what machined does as `/init` of the initramfs.
//!
//! [`run`] mounts what it needs, loads the board's early modules, finds the disk and the slot that the loader
//! started, opens the slot through dm-verity, and becomes the machined of that root. It trusts nothing on the disk
//! that does not follow from the manifest hash the loader passed. When it cannot go on it says why on the console and
//! restarts the machine, so that a slot on trial falls back. A slot whose root is damaged is abandoned at once, if there is
//! another one that was kept.

mod root;
mod slot;
mod stage;
mod watchdog;

pub use slot::{Error as SlotError, Plan, plan};
pub use stage::run;
