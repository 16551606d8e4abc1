//! Builds signed bundles and disk images from boards, overlays and Debian packages.
//!
//! [`build`](mod@build) is the whole way: [`packages`] gets what the board and overlays name, [`select`] and
//! [`modules`] take the named files out of it, [`initramfs`], [`erofs`] and [`esp`] make file systems, [`slot`] puts
//! the parts together under one hash tree, [`keys`] signs. Same inputs give the same bytes: nothing here reads a
//! clock, an environment or the order of a folder.
//!
//! Absent on purpose: facts about any board (they are data), and machined (nothing of it is linked in).

pub mod build;
pub mod elf;
pub mod erofs;
pub mod esp;
pub mod initramfs;
pub mod inputs;
pub mod keys;
pub mod loader;
pub mod modules;
pub mod oci;
pub mod packages;
pub mod process;
pub mod release;
pub mod report;
pub mod select;
pub mod slot;
pub mod tree;
