//! Builds signed bundles and disk images from boards, overlays and Debian packages.
//!
//! [`build`](mod@build) is the whole way: [`packages`] gets what the board and overlays name, [`select`] and
//! [`modules`] take the named files out of it, [`initramfs`], [`erofs`] and [`esp`] make file systems, [`slot`] puts
//! the parts together under one hash tree, [`patches`] leads from older releases to this one, the crate `signing` signs,
//! [`check`](mod@check) takes the result apart with other people's tools. Same inputs give the same bytes: nothing here reads a clock, an environment or the order of a
//! folder.
//!
//! Absent on purpose: facts about any board (they are data), and machined (nothing of it is linked in).

pub mod bmap;
pub mod build;
pub mod check;
pub mod container_image;
pub mod containers;
mod contents;
pub mod device_trees;
pub mod disk_image;
pub mod elf;
pub mod erofs;
pub mod error;
pub mod esp;
pub mod firmware_config;
pub mod frames;
pub mod hash;
pub mod initramfs;
pub mod inputs;
pub mod kubernetes;
pub mod loader;
pub mod modules;
pub mod oci;
pub mod packages;
pub mod parts;
pub mod patches;
pub mod process;
pub mod publish;
pub mod qcow2;
pub mod release;
pub mod report;
pub mod request;
pub mod sbom;
pub mod select;
pub mod shipped_firmware;
pub mod slot;
pub mod time;
pub mod tree;
