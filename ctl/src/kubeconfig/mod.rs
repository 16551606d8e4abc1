//! Kubeconfigs: the files that tell kubectl and others where clusters are, and who calls.
//!
//! [`merge`] adds a cluster to a file's text without touching what else is in it, [`remove`] takes it out; [`file`] finds and writes the file.

pub mod file;
pub mod merge;
pub mod remove;
mod text;

pub use merge::{Entry, Merged, merge};
pub use remove::{authority, remove};
