//! The requirements of a target.

use std::path::Path;

/// The requirements of a target.
#[derive(Debug, Clone, Copy)]
pub struct Requirements<'a> {
    /// The least size in bytes.
    pub needed: u64,
    /// The size that the user requested, in bytes.
    pub size: Option<u64>,
    /// Files that are read during the flash.
    pub inputs: &'a [&'a Path],
    /// Set when secrets will be written: a file is then readable by its owner only.
    pub private: bool,
}
