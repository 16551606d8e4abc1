//! What a manifest says. Field order here is the order of the JSON, which is signed byte for byte.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};
pub use slots::Version;

use crate::{Digest, Image, ImageName, TrustedKey};

/// A release of a system for one board.
///
/// A value from [`crate::verify`] is signed and within all limits. [`Manifest::to_json`] checks any other, so that no
/// builder can sign what no loader accepts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest {
    /// Format of this document: 1.
    pub format: u32,
    /// Name of the board that the system is for.
    pub board: String,
    /// Instruction set of kernel and programs.
    pub arch: Arch,
    /// Version of the release.
    pub version: Version,
    /// Time of the sources, in seconds since 1970: never the time of the build, which must not change the bytes.
    pub created: u64,
    /// Overlays that went into the image, in order.
    pub overlays: Vec<String>,
    /// Set when every package was the one that the lock file names.
    pub locked: bool,
    /// Kernel command line; the loader appends what it knows about this boot.
    pub cmdline: String,
    /// The content of the slot.
    pub slot: SlotImage,
    /// The disk that the slot is a part of.
    pub disk: Disk,
    /// Images that a bundle carries for this release.
    pub images: Vec<Image>,
    /// The bundle's frame index.
    pub index: Index,
    /// Which device tree to hand over; absent where firmware always brings its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_trees: Option<DeviceTrees>,
    /// Every key that may sign what comes after this release, from its commit on; none when it says nothing about keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<TrustedKey>,
    /// The lowest version that may still boot once this release is committed.
    #[serde(default, skip_serializing_if = "Version::is_zero")]
    pub floor: Version,
    /// Patches in the bundle that make this release out of an earlier one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub patches: Vec<PatchSet>,
}

/// An instruction set, by Debian's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// AArch64.
    Arm64,
    /// x86_64.
    Amd64,
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Arch::Arm64 => "arm64",
            Arch::Amd64 => "amd64",
        })
    }
}

/// The layout of a slot's bytes: parts, then the hash tree over them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SlotImage {
    /// Length of parts and tree together.
    pub size: u64,
    /// The parts in their order on disk, each aligned to [`crate::PART_ALIGNMENT`], gaps zero.
    pub parts: Vec<Part>,
    /// The dm-verity tree that covers all the parts.
    pub verity: Verity,
}

/// A file in the slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Part {
    /// What the part is for.
    pub kind: PartKind,
    /// A file name, unique among parts of the same kind.
    pub name: String,
    /// Where it starts in the slot.
    pub offset: u64,
    /// Its length, without padding.
    pub size: u64,
    /// Hash of its bytes, without padding.
    pub sha256: Digest,
}

/// The purpose of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PartKind {
    /// The kernel, an EFI program. Exactly one.
    Kernel,
    /// The initramfs. Exactly one.
    Initramfs,
    /// A flattened device tree. Any number.
    DeviceTree,
    /// The root file system. Exactly one.
    Root,
}

impl fmt::Display for PartKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PartKind::Kernel => "kernel",
            PartKind::Initramfs => "initramfs",
            PartKind::DeviceTree => "deviceTree",
            PartKind::Root => "root",
        })
    }
}

/// The dm-verity tree: format 1, SHA-256, blocks of 4096 bytes, no superblock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Verity {
    /// Number of data blocks, counted from the start of the slot.
    pub data_blocks: u64,
    /// Where the tree starts in the slot: right behind the data.
    pub tree_offset: u64,
    /// Length of the tree.
    pub tree_size: u64,
    /// Salt that is hashed before each block.
    pub salt: Digest,
    /// Hash of the tree's top: vouches for every byte of data.
    pub root_hash: Digest,
}

/// The disk that the flash tool lays out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Disk {
    /// Length of each slot partition.
    pub slot_size: u64,
    /// Where the first partition starts; before it may lie the vendor's boot code.
    pub first_partition: u64,
    /// Set when the vendor's boot code needs an MBR that also lists the ESP.
    pub hybrid_mbr: bool,
}

/// The frame index of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Index {
    /// Number of entries.
    pub frames: u32,
    /// Hash of the index.
    pub sha256: Digest,
}

/// The patches from one earlier release to this one, and their place in the bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PatchSet {
    /// Root hash of the slot image that the patches start from: no other image will do.
    pub from: Digest,
    /// Version of that image, for people.
    pub version: Version,
    /// Where the set's index starts in the bundle; its patches follow it.
    pub offset: u64,
    /// Length of the set's index.
    pub index_size: u64,
    /// Length of the set's patches.
    pub size: u64,
    /// Hash of the set's index.
    pub sha256: Digest,
}

/// The choice of the device tree that the loader passes to the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeviceTrees {
    /// Name of the device-tree part for this board.
    pub default: String,
    /// Whose tree wins when the firmware brings one, too.
    #[serde(default, skip_serializing_if = "DeviceTreePreference::is_firmware")]
    pub prefer: DeviceTreePreference,
}

/// The precedence between two device trees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DeviceTreePreference {
    /// The firmware's, where it has one: it knows the memory, addresses and serial number of this very board.
    #[default]
    Firmware,
    /// Ours, for boards whose firmware brings a tree that the kernel cannot use.
    Manifest,
}

impl DeviceTreePreference {
    fn is_firmware(&self) -> bool {
        *self == DeviceTreePreference::Firmware
    }
}

impl Manifest {
    /// Returns the kernel.
    pub fn kernel(&self) -> &Part {
        self.only(PartKind::Kernel)
    }

    /// Returns the initramfs.
    pub fn initramfs(&self) -> &Part {
        self.only(PartKind::Initramfs)
    }

    /// Returns the root file system.
    pub fn root(&self) -> &Part {
        self.only(PartKind::Root)
    }

    /// Finds a device tree by its part's name.
    pub fn device_tree(&self, name: &str) -> Option<&Part> {
        self.slot
            .parts
            .iter()
            .find(|part| part.kind == PartKind::DeviceTree && part.name == name)
    }

    /// Finds an image of the bundle.
    pub fn image(&self, name: ImageName) -> Option<&Image> {
        self.images.iter().find(|image| image.name == name)
    }

    /// Finds the patches that start from the slot image with this root hash.
    pub fn patches_from(&self, root_hash: &Digest) -> Option<&PatchSet> {
        self.patches.iter().find(|set| set.from == *root_hash)
    }

    fn only(&self, kind: PartKind) -> &Part {
        let mut parts = self.slot.parts.iter();
        parts
            .find(|part| part.kind == kind)
            .expect("a checked manifest has one part of this kind")
    }
}
