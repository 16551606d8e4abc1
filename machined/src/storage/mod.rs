//! The system's disk: finding it, growing DATA, preparing and mounting STATE and DATA.

pub mod disk;

pub use disk::{Devices, Disk, Partition};
