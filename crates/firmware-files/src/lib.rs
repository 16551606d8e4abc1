//! What a release puts on the EFI system partition (ESP), and how a partition differs from that.
//!
//! The image builder writes a [`FirmwareFiles`] list into the root file system, beside the files themselves. The root is
//! covered by the signed manifest, and so is the list. [`list`] is its format, [`compare`] holds a partition against it,
//! [`settings`] adds lines of people to the configuration file of the firmware, [`order`] says in which order files are
//! written, and [`trial`] which files the firmware tries before that. Does no I/O, and names no board: what is special about a
//! board's firmware is in the list.

pub mod compare;
pub mod list;
pub mod order;
pub mod settings;
pub mod trial;

pub use compare::{Difference, Found, compare};
pub use list::{FirmwareFiles, ListError, Listed};
pub use order::{Order, order};
pub use settings::{Settings, SettingsError, faults, render};
pub use trial::{Content, Trial, target_id, trial_files};

/// The folder of the list in the root file system.
pub const FOLDER: &str = "/usr/share/bedplate/firmware";
/// The list in that folder.
pub const LIST: &str = "firmware.yaml";
/// The folder below it with the files, by their paths on the partition.
pub const FILES: &str = "files";
/// The description of the firmware's configuration file, on the partition itself: the flash tool has nothing but the bundle.
pub const SETTINGS: &str = "EFI/bedplate/firmware.yaml";
/// The longest list: some hundred times what a board has.
pub const LONGEST_LIST: usize = 256 * 1024;
