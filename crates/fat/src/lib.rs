//! Reads a FAT32 volume, and replaces files on it so that a power cut leaves each of them old or new.
//!
//! The EFI system partition is a FAT that firmware reads, so it has neither a journal nor a second copy. What makes a
//! change safe is its order. New bytes go to clusters that no file uses, are flushed, and are read back from the medium. Then
//! the 32 bytes that say where a file begins and how long it is are changed, and all files whose entries share a sector
//! change at once. Only then are the old clusters freed. [`Volume::files`] and [`Volume::read`] read; [`Volume::apply`]
//! changes.
//!
//! The crate works on any [`medium::Medium`]. It mounts nothing, so a malicious volume meets no code of the kernel. Nothing
//! here knows what a file is for.

mod apply;
mod boot_sector;
mod directory;
mod error;
mod folder;
mod name;
mod table;
mod volume;

pub use apply::Change;
pub use error::Error;
pub use volume::{File, Volume};
