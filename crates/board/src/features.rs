//! What a board or an overlay adds to an image.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use service_definition::Service;

use crate::device_trees::DeviceTreeOverlay;
use crate::files::{Directory, Link, OwnFile, Pattern, Place, TargetPath};
use crate::modules::Modules;
use crate::names::{ConfigLine, KernelArgument, Name, PackageName, Suite};

/// The additions of a board or an overlay to an image; those of several are joined in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Features {
    /// Debian packages, and the files of each that enter the root. Nothing that is not named enters.
    pub packages: Vec<Package>,
    /// Arguments of the kernel command line.
    pub kernel_arguments: Vec<KernelArgument>,
    /// Kernel modules.
    pub modules: Modules,
    /// Changes to the board's device trees.
    pub device_tree_overlays: Vec<DeviceTreeOverlay>,
    /// Lines that are added to the configuration file of the board's firmware, such as `dtparam=i2c_arm=on`.
    pub firmware_config: Vec<ConfigLine>,
    /// Device firmware that the kernel loads, from packages, kept under `/usr/lib/firmware`.
    pub firmware: Vec<Firmware>,
    /// Container images made of programs of ours, imported when a node starts.
    pub container_images: Vec<ContainerImage>,
    /// Programs of Kubernetes, which come from a release of it (`bedplate-image build --kubernetes`).
    pub kubernetes: Vec<Name>,
    /// Programs that machined keeps running.
    pub services: Vec<Service>,
    /// Files that come with the board or overlay.
    pub files: Vec<OwnFile>,
    /// Files made by joining files of a package, such as the bundle of CA certificates.
    pub joined: Vec<Joined>,
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
    /// The Debian suite that it comes from, such as `forky`; without one, the suite that all images are made of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suite: Option<Suite>,
    /// Files that keep their place. A package without `files` and `place` only lends the shared libraries
    /// that some program in the image needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<Pattern>,
    /// Files that go somewhere else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub place: Vec<Place>,
}

/// Device firmware out of one package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Firmware {
    /// The package's name.
    pub package: PackageName,
    /// The Debian suite that it comes from; without one, the suite that all images are made of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suite: Option<Suite>,
    /// Files, relative to `/usr/lib/firmware`.
    pub files: Vec<Pattern>,
}

/// A file made by joining files of a package in the order of their names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Joined {
    /// Where it goes.
    pub path: TargetPath,
    /// The package's name.
    pub package: PackageName,
    /// The files that are joined.
    pub files: Vec<Pattern>,
}

/// A container image that holds one static program of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContainerImage {
    /// The program: a file in the folder of cross-built binaries, like machined.
    pub program: Name,
    /// What the image is called, such as `localhost/bedplate/pause:0.1`.
    pub reference: String,
}
