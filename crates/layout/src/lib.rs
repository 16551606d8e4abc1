//! Where the partitions of a Bedplate disk lie.
//!
//! [`Name`] lists the partitions, [`Layout`] places them on a medium of a given size: plain arithmetic, `no_std`,
//! no I/O. The feature `gpt` adds [`Table`], which turns a layout into the bytes of a partition table and back.
//! Never formats anything, and knows nothing of what lies inside a partition but the two offsets that the loader,
//! the flash tool and the agent must agree on.

#![cfg_attr(not(feature = "gpt"), no_std)]

#[cfg(feature = "gpt")]
mod fit;
mod names;
mod plan;
#[cfg(feature = "gpt")]
mod table;
#[cfg(feature = "gpt")]
mod window;

pub use names::Name;
pub use plan::{DiskSpec, Extent, Layout, LayoutError};
#[cfg(feature = "gpt")]
pub use table::{Guids, Images, Table, TableError};

/// Bytes in a sector. Media with larger logical sectors are not supported.
pub const SECTOR: u64 = 512;

/// Partitions start and end on multiples of this, so that none shares an erase block with its neighbour.
pub const ALIGN: u64 = 1024 * 1024;

/// Bytes at the start of the medium that the partition table takes: MBR, header, 128 entries.
pub const TABLE_HEAD: u64 = 34 * SECTOR;

/// Bytes at the end of the medium that the backup table takes: 128 entries, header.
pub const TABLE_TAIL: u64 = 33 * SECTOR;

/// The least that DATA gets: below this, containers and logs have no room to live.
pub const DATA_MIN: u64 = 64 * ALIGN;
