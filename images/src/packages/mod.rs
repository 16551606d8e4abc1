//! Debian packages: where they come from, which versions, and their files.
//!
//! [`mirror`] finds the mirror and its keys, [`apt`] asks it in an isolated root, [`lock`] holds what was chosen and
//! when ([`timestamp`]), [`cache`] keeps what was fetched, [`kept`] is what a release keeps for good, [`folder`] has packages
//! of one's own, [`fetch`] joins these, [`kernel`] follows a package to its kernel, and [`deb`] opens a package.

pub mod apt;
pub mod cache;
pub mod control;
pub mod deb;
pub mod fetch;
pub mod fetched;
pub mod folder;
pub mod kept;
pub mod kernel;
pub mod lock;
pub mod mirror;
pub mod timestamp;
pub mod wanted;
