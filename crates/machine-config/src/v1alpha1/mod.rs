//! Version `bedplate.dev/v1alpha1`.
//!
//! [`types`] is what users write, `decode` reads it and holds its rules.

mod decode;
mod types;

pub(crate) use decode::{Marks, decode};
pub use types::*;

/// What stands under `apiVersion` in a document of this version.
pub const API_VERSION: &str = "bedplate.dev/v1alpha1";
/// What stands under `kind`.
pub const KIND: &str = "MachineConfig";
