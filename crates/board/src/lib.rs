//! Boards and overlays as data: schema, inheritance, errors that name file, line and the nearest name.
//!
//! A [`Catalog`] is the set of board and overlay files found in some folders. [`Catalog::select`] takes the name
//! of a board and of overlays, follows `inherit:`, and gives a [`Selection`]: everything that an image needs to
//! know. Values are parsed once, into types that cannot hold a wrong value ([`names`], [`files`]).
//!
//! Absent on purpose: this crate never looks into a package, never builds anything, and knows no board by name.

pub mod catalog;
pub mod document;
pub mod error;
pub mod features;
pub mod files;
pub mod hardware;
pub mod inherit;
pub mod names;
pub mod nearest;
pub mod schema;

pub use catalog::{Catalog, Selection};
pub use document::{Board, Overlay, RawBoard};
pub use error::{Error, Result};
pub use features::{ContainerImage, DeviceTreeOverlay, Features, Firmware, Joined, Modules, Package};
pub use files::{Directory, Link, OwnFile, Pattern, Place, TargetPath};
pub use hardware::{BootCode, DeviceTrees, Disk, Esp, Kernel, Prefer};
pub use names::{Arch, KernelArgument, ModuleName, Name, PackageName};
pub use quantity::Size;
pub use service_definition::Service;
