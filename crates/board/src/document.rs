//! The kinds of document: board, overlay, and list of modules.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::device_trees::{DeviceTrees, RawDeviceTrees};
use crate::error::{Error, Result};
use crate::features::Features;
use crate::hardware::{BootCode, Disk, Esp, Kernel, RawDisk};
use crate::modules::ModuleEntry;
use crate::names::{Arch, Name};
use quantity::Size;

/// The version of the schema that this crate reads.
pub const API_VERSION: &str = "bedplate.dev/v1alpha1";

/// A board file as it is written: a board may leave to the one it inherits from whatever it does not say itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(title = "Board")]
pub struct RawBoard {
    /// `bedplate.dev/v1alpha1`.
    pub api_version: String,
    /// `Board`.
    pub kind: String,
    /// The board's name: the same as the file's, without `.yaml`.
    pub name: Name,
    /// One sentence for people.
    pub description: String,
    /// The board whose facts this one starts from. Lists are joined, single values replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inherit: Option<Name>,
    /// Set on a board that only exists to be inherited from.
    #[serde(default, rename = "abstract", skip_serializing_if = "std::ops::Not::not")]
    pub is_abstract: bool,
    /// The architecture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arch: Option<Arch>,
    /// Where the kernel comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<Kernel>,
    /// Device trees that travel in the slot.
    #[serde(default)]
    pub device_trees: RawDeviceTrees,
    /// How the medium is laid out.
    #[serde(default)]
    pub disk: RawDisk,
    /// The files on the EFI system partition, except the loader.
    #[serde(default)]
    pub esp: Esp,
    /// Vendor boot code on the raw medium.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_code: Option<BootCode>,
    /// Overlays that every image of this board has.
    #[serde(default)]
    pub overlays: Vec<Name>,
    /// What the board itself adds.
    #[serde(default)]
    pub features: Features,
}

/// A board with everything it inherits: the facts of one model of hardware.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Board {
    /// The board's name.
    pub name: Name,
    /// One sentence for people.
    pub description: String,
    /// The architecture.
    pub arch: Arch,
    /// Where the kernel comes from.
    pub kernel: Kernel,
    /// Device trees that travel in the slot.
    pub device_trees: DeviceTrees,
    /// How the medium is laid out.
    pub disk: Disk,
    /// The files on the EFI system partition, except the loader.
    pub esp: Esp,
    /// Vendor boot code on the raw medium.
    pub boot_code: Option<BootCode>,
    /// Overlays that every image of this board has.
    pub overlays: Vec<Name>,
    /// What the board itself adds.
    pub features: Features,
}

/// A named, composable addition to an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Overlay {
    /// `bedplate.dev/v1alpha1`.
    pub api_version: String,
    /// `Overlay`.
    pub kind: String,
    /// The overlay's name: the same as its folder's.
    pub name: Name,
    /// One sentence for people.
    pub description: String,
    /// Overlays that this one depends on; they are added before it.
    #[serde(default)]
    pub needs: Vec<Name>,
    /// Boards it is for; every board when empty.
    #[serde(default)]
    pub boards: Vec<Name>,
    /// The least size of slots that an image with it needs, such as `1 GiB`; the board's own size when it is larger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot_size: Option<Size>,
    /// What it adds.
    pub features: Features,
}

/// A list of kernel modules that boards and overlays share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ModuleList {
    /// `bedplate.dev/v1alpha1`.
    pub api_version: String,
    /// `ModuleList`.
    pub kind: String,
    /// The list's name: the same as the file's, without `.yaml`.
    pub name: Name,
    /// One sentence for people.
    pub description: String,
    /// The modules, in the order they are loaded.
    pub modules: Vec<ModuleEntry>,
}

/// Parses a board file; `path` is only for messages.
pub fn parse_board(text: &str, path: &Path) -> Result<RawBoard> {
    parse(text, path, "Board")
}

/// Parses an overlay file; `path` is only for messages.
pub fn parse_overlay(text: &str, path: &Path) -> Result<Overlay> {
    parse(text, path, "Overlay")
}

/// Parses a list of modules; `path` is only for messages.
pub fn parse_module_list(text: &str, path: &Path) -> Result<ModuleList> {
    parse(text, path, "ModuleList")
}

fn parse<T: serde::de::DeserializeOwned>(text: &str, path: &Path, kind: &str) -> Result<T> {
    yaml::document(text, API_VERSION, kind).map_err(|fault| Error::yaml(path, &fault))
}
