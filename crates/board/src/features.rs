//! What a board or an overlay adds to an image.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::files::{Directory, Link, OwnFile, Pattern, Place};
use crate::names::{KernelArgument, ModuleName, Name, PackageName};

/// What a board or an overlay adds to an image; additions of several are joined in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Features {
    /// Debian packages, and the files of each that enter the root. Nothing that is not named enters.
    pub packages: Vec<Package>,
    /// Arguments of the kernel command line.
    pub kernel_arguments: Vec<KernelArgument>,
    /// Kernel modules.
    pub modules: Modules,
    /// Changes to the board's device trees, applied when the image is built.
    pub device_tree_overlays: Vec<DeviceTreeOverlay>,
    /// Device firmware that the kernel loads, from packages, kept under `/usr/lib/firmware`.
    pub firmware: Vec<Firmware>,
    /// Programs that machined keeps running.
    pub services: Vec<Service>,
    /// Files that come with the board or overlay.
    pub files: Vec<OwnFile>,
    /// Symbolic links.
    pub links: Vec<Link>,
    /// Empty folders.
    pub directories: Vec<Directory>,
}

/// A Debian package and what is taken from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Package {
    /// The package's name.
    pub name: PackageName,
    /// Files that keep their place. A package without `files` and `place` only lends the shared libraries
    /// that some program in the image needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<Pattern>,
    /// Files that go somewhere else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub place: Vec<Place>,
}

/// Kernel modules by the time they are wanted; what each needs is added by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Modules {
    /// Loaded in the initramfs, before the disk is opened: what the board needs to see its disk.
    pub early: Vec<ModuleName>,
    /// Loaded by machined when it starts.
    pub autoload: Vec<ModuleName>,
    /// Present in the root, loaded when a device or a machine config asks for them.
    pub available: Vec<ModuleName>,
}

/// A device-tree overlay (`.dtbo`) and the trees that it is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeviceTreeOverlay {
    /// The compiled overlay, relative to the folder of this YAML file.
    pub source: String,
    /// Names of the trees it is applied to, such as `bcm2837-rpi-3-b.dtb`; all of the board's when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trees: Vec<String>,
}

/// Device firmware out of one package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Firmware {
    /// The package's name.
    pub package: PackageName,
    /// Files, relative to `/usr/lib/firmware`.
    pub files: Vec<Pattern>,
}

/// A program that machined keeps running.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Service {
    /// The service's name.
    pub name: Name,
    /// The program, absolute, and its arguments.
    pub command: Vec<String>,
    /// Environment variables; nothing else is in its environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// Services that must be healthy before this one starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<Name>,
}
