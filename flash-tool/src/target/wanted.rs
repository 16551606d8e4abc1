//! What a target must fulfil.

use std::path::Path;

/// What a target must fulfil.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The least bytes that will do.
    pub needed: u64,
    /// The size that the user asked for, in bytes.
    pub size: Option<u64>,
    /// Files that are read meanwhile.
    pub inputs: &'a [&'a Path],
    /// Set when secrets will be written: a file is then for its owner alone.
    pub private: bool,
}
