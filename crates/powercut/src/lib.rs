//! Simulates power cuts after, within and between all writes to a medium, and checks what a node does with the result.
//!
//! A [`Recorder`] is a medium in memory that logs writes and syncs; the code under test runs over it, unchanged.
//! [`explore`] generates every content that the medium may have after a power cut, each once.
//! [`Node`] is the machine that is then switched on: the loader's own core, with its checks in its order, and the hash
//! tree in place of dm-verity. The model's assumptions are in docs/power-cuts.md. For tests only: no product crate may
//! depend on it.

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
