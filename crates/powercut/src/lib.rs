//! Cuts the power after, within and between all writes to a medium, and looks what a node makes of it.
//!
//! A [`Recorder`] is a medium in memory that logs writes and syncs; the code under test runs over it, unchanged.
//! [`explore`] makes every content that the medium may have after a power cut, and hands each one over once.
//! [`Node`] is the machine that is then switched on: the loader's own core, its checks in its order, and the hash tree
//! in place of dm-verity. What the model takes for granted is in docs/power-cuts.md. For tests only: no product crate
//! may depend on it.

mod disk;
mod explore;
mod image;
mod node;
mod partition;
mod pending;
mod random;
mod recorder;
mod report;
mod state;

pub use disk::{Power, read_table};
pub use explore::{explore, states};
pub use image::{BLOCK, Image, SECTOR};
pub use node::{Node, Outcome, Places, Started};
pub use partition::{Disk, Partition};
pub use random::Random;
pub use recorder::{Event, Recorder, Recording, Write};
pub use report::report;
pub use state::{Broken, How, Options, State, Tally};
