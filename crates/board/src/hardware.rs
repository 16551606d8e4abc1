//! What only a board says: how its firmware starts it, and how its disk is laid out.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::features::Package;
use crate::files::{OwnFile, Pattern, TargetPath};
use crate::names::{ConfigLine, PackageName, Suite};
use quantity::Size;

/// The origin of the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Kernel {
    /// A kernel package, or a package without files that depends on the newest kernel (`linux-image-arm64`).
    pub package: PackageName,
    /// The Debian suite that it comes from, such as `trixie-backports`; without one, the suite that all images are made of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suite: Option<Suite>,
    /// Or a folder of `.deb` files, relative to the folder of this YAML file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}

/// The layout of the medium, as a board file has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(rename = "Disk")]
pub struct RawDisk {
    /// Size of each of the two slots; 512 MiB where no board says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slot_size: Option<Size>,
    /// Where the first partition starts; the space before it belongs to the vendor's boot code. 1 MiB where no board says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_partition: Option<Size>,
    /// Also write an MBR that shows the ESP, for firmware that cannot read a GPT.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hybrid_mbr: Option<bool>,
}

/// The layout of the medium.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Disk {
    /// Size of each of the two slots.
    pub slot_size: Size,
    /// Where the first partition starts; the space before it belongs to the vendor's boot code.
    pub first_partition: Size,
    /// Set when an MBR also shows the ESP, for firmware that cannot read a GPT.
    pub hybrid_mbr: bool,
}

impl From<RawDisk> for Disk {
    fn from(raw: RawDisk) -> Disk {
        Disk {
            slot_size: raw.slot_size.unwrap_or(Size::mib(512)),
            first_partition: raw.first_partition.unwrap_or(Size::mib(1)),
            hybrid_mbr: raw.hybrid_mbr.unwrap_or(false),
        }
    }
}

/// The files on the EFI system partition, except the loader.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Esp {
    /// Files out of packages, such as the vendor's firmware and U-Boot.
    pub packages: Vec<Package>,
    /// Files that come with the board.
    pub files: Vec<OwnFile>,
    /// Device trees out of the kernel package, put into the root folder.
    pub device_trees: Vec<Pattern>,
    /// The file by which the firmware is configured, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub firmware_config: Option<FirmwareConfig>,
    /// How the firmware tries other files at one start, where it can. Needs `firmwareConfig`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub firmware_trial: Option<FirmwareTrial>,
}

/// The configuration file of a board's firmware: features add lines to it, and it names the overlays to apply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FirmwareConfig {
    /// The file on the ESP, which is one of `files`.
    pub path: TargetPath,
    /// A line that comes before the lines of features, such as the heading of a section that is for every model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heading: Option<ConfigLine>,
    /// The folder on the ESP where the firmware looks for device-tree overlays.
    pub overlays: TargetPath,
    /// The line that has it apply one, with `{name}` for the name of the overlay's file without `.dtbo`.
    pub overlay_line: String,
    /// What is between the line and each parameter.
    pub parameter_separator: String,
    /// Names of settings that a machine config may not have, since they would start something else than the release.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reserved: Vec<ConfigLine>,
    /// Names of settings that may occur more than once, such as that of `overlayLine`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repeatable: Vec<ConfigLine>,
}

/// How a board's firmware tries files: told by the loader, it reads another configuration file at its next start only, and
/// that file names other files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FirmwareTrial {
    /// The configuration file on the ESP that it reads at that start.
    pub path: TargetPath,
    /// What names of files that are tried begin with: lower-case letters and hyphens. Nothing else on the ESP may begin so.
    pub prefix: String,
    /// The setting that has the firmware read its files with that prefix.
    pub prefix_setting: ConfigLine,
    /// Files that this does not reach, each with the setting that names it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub named: BTreeMap<TargetPath, ConfigLine>,
    /// The `compatible` name of the firmware's mailbox in the device tree. The loader asks for the trial by it.
    pub mailbox: String,
}

/// Vendor boot code that is written to the raw medium, outside any partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BootCode {
    /// The package it comes from.
    pub package: PackageName,
    /// The Debian suite that the package comes from; without one, the suite that all images are made of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suite: Option<Suite>,
    /// The file in the package.
    pub file: Pattern,
    /// Where on the medium it goes.
    pub offset: Size,
}
