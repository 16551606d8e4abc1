//! Boards and overlays as data: schema, inheritance, errors that name file, line and the nearest name.
//!
//! A [`Catalog`] is the set of board and overlay files found in some folders, with the lists of modules that they share.
//! [`Catalog::select`] takes the name of a board and of overlays, follows `inherit:`, and returns a [`Selection`]: everything
//! that an image needs to know. Values are parsed once, into types that cannot hold a wrong value ([`names`], [`files`]).
//!
//! Absent on purpose: this crate never looks into a package, never builds anything, and knows no board by name.

pub mod catalog;
pub mod device_trees;
pub mod document;
pub mod error;
pub mod features;
pub mod files;
pub mod hardware;
pub mod inherit;
mod load;
pub mod modules;
pub mod names;
pub mod schema;

pub use catalog::{Catalog, Selection};
pub use device_trees::{Apply, DeviceTreeOverlay, DeviceTrees, Prefer};
pub use document::{Board, ModuleList, Overlay, RawBoard};
pub use error::{Error, Result};
pub use features::{ContainerImage, Features, Firmware, Joined, Package};
pub use files::{Directory, Link, OwnFile, Pattern, Place, TargetPath};
pub use hardware::{BootCode, Disk, Esp, FirmwareConfig, FirmwareTrial, Kernel};
pub use modules::{ModuleEntry, Modules, WantedModule, WantedModules};
pub use names::{Arch, ConfigLine, KernelArgument, ModuleName, Name, PackageName, Suite};
pub use quantity::Size;
pub use service_definition::Service;
