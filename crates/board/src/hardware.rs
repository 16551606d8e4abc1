//! What only a board says: how its firmware starts it, and how its disk is laid out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::features::Package;
use crate::files::{OwnFile, Pattern};
use crate::names::PackageName;
use quantity::Size;

/// Where the kernel comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Kernel {
    /// A kernel package, or a package without files that depends on the newest kernel (`linux-image-arm64`).
    pub package: PackageName,
}

/// Device trees out of the kernel package that travel in the slot, next to their kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct DeviceTrees {
    /// Paths below the package's folder of trees, such as `broadcom/bcm2837-rpi-3-b.dtb`.
    pub files: Vec<Pattern>,
    /// File name of the tree that the loader hands to the kernel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// Whose tree wins when the firmware brings one, too.
    pub prefer: Prefer,
}

/// Whose device tree the kernel gets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Prefer {
    /// The firmware's where it has one.
    #[default]
    Firmware,
    /// The one in the slot, which is upgraded together with its kernel.
    Slot,
}

/// How the medium is laid out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Disk {
    /// Size of each of the two slots.
    pub slot_size: Size,
    /// Where the first partition starts; the space before it belongs to the vendor's boot code.
    pub first_partition: Size,
    /// Also write an MBR that shows the ESP, for firmware that cannot read a GPT.
    pub hybrid_mbr: bool,
}

impl Default for Disk {
    fn default() -> Self {
        Disk {
            slot_size: Size::mib(512),
            first_partition: Size::mib(1),
            hybrid_mbr: false,
        }
    }
}

/// What stands on the EFI system partition beside the loader.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Esp {
    /// Files out of packages, such as the vendor's firmware and U-Boot.
    pub packages: Vec<Package>,
    /// Files that come with the board.
    pub files: Vec<OwnFile>,
    /// Device trees out of the kernel package, put into the root folder.
    pub device_trees: Vec<Pattern>,
}

/// Vendor boot code that is written to the raw medium, outside any partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BootCode {
    /// The package it comes from.
    pub package: PackageName,
    /// The file in the package.
    pub file: Pattern,
    /// Where on the medium it goes.
    pub offset: Size,
}
