//! What every part of a node stands on: its processes, logs, events, disks and modules, and what is known about its boot.
//!
//! A [`Node`] is the bundle of handles that the parts share.
//!
//! | part | what it is |
//! |---|---|
//! | [`boot`] | the tables of PID 1 (mounts, kernel parameters, `/etc`), the kernel's command line, the image's release, and the timings of this boot |
//! | [`children`] | starts and reaps processes |
//! | [`disk`] | finds the system's disk and its partitions |
//! | [`events`], [`logs`] | what happened, and what services and machined said |
//! | [`last_words`] | what a program said last, which is why it failed |
//! | [`modules`] | kernel modules: which there are, and in which order they are loaded |
//! | [`packet_filter`] | puts rules of the packet filter in force |
//! | [`power`] | requests to restart, switch off or reset |
//! | [`requests`] | requests to start and stop services |
//!
//! Nothing here decides anything about config, network, services or upgrades: those are the crates above.

pub mod boot;
pub mod children;
pub mod disk;
pub mod events;
pub mod last_words;
pub mod logs;
pub mod modules;
mod node;
pub mod packet_filter;
pub mod power;
pub mod requests;

pub use node::Node;
