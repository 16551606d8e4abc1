//! The Linux system calls of the house, behind safe functions and small traits.
//!
//! One file per family of calls. Where a controller's decisions are tested, the family is a trait with a Linux and
//! a recording version. Nothing here decides anything, and nothing here keeps state.

pub mod announce;
pub mod block;
mod bpf;
pub mod capture;
pub mod clock;
pub mod confine;
pub mod device_mapper;
pub mod disk;
pub mod durable;
pub mod entropy;
mod error;
pub mod fifo;
pub mod filesystem;
pub mod host;
pub mod interfaces;
pub mod lock;
pub mod loop_device;
pub mod memory;
pub mod modules;
pub mod mount;
pub mod mount_table;
pub mod namespace;
pub mod packet;
pub mod power;
pub mod priority;
pub mod process;
pub mod root;
pub mod router;
mod slew;
pub mod uevent;
pub mod watchdog;

pub use error::{Context, Error, Result};
