//! Debian packages: where they come from, which versions, and their files.
//!
//! [`mirror`] finds the mirror and its keys, [`apt`] asks it in an isolated root, [`lock`] holds what was chosen,
//! [`cache`] keeps what was fetched, [`fetch`] joins the four, and [`deb`] opens a package.

pub mod apt;
pub mod cache;
pub mod control;
pub mod deb;
pub mod fetch;
pub mod lock;
pub mod mirror;
