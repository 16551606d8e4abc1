//! Slot images, manifests and signatures for tests.

use std::io::{Read, Seek, Write};

use bundle::{ImageName, Sealed};
use manifest::model::Version;
use manifest::{Arch, Disk, Image, Manifest, PartKind, SlotImage, TrustedKey};
pub use samples::noise;
use samples::{Signer, slot_image};

/// A MiB.
pub const MIB: u64 = 1024 * 1024;

/// Makes a slot image: kernel, initramfs, root, tree.
pub fn slot(root: Vec<u8>) -> (Vec<u8>, SlotImage) {
    slot_image(&[
        (PartKind::Kernel, "vmlinuz", &noise(9000, 1)),
        (PartKind::Initramfs, "initramfs", &b"0707010".repeat(3000)),
        (PartKind::Root, "root.erofs", &root),
    ])
}

/// Describes a bundle with a slot and other images, given by place and size.
pub fn manifest<S: Read + Write + Seek>(
    sealed: &Sealed<S>,
    slot: SlotImage,
    others: &[(ImageName, Option<u64>, u64)],
) -> Manifest {
    let mut images = vec![(ImageName::SLOT, None, slot.size)];
    images.extend(others);
    let images = images.into_iter().map(|(name, offset, size)| Image {
        name,
        offset,
        size,
        sha256: sealed.sha256(name),
    });
    Manifest {
        format: 1,
        board: "test".into(),
        arch: Arch::Arm64,
        version: Version {
            major: 1,
            minor: 2,
            patch: 3,
        },
        created: 1_700_000_000,
        overlays: vec!["base".into()],
        locked: true,
        cmdline: "console=ttyAMA0".into(),
        disk: Disk {
            slot_size: 32 * MIB,
            first_partition: 16 * MIB,
            hybrid_mbr: false,
        },
        images: images.collect(),
        slot,
        index: sealed.index(),
        device_trees: None,
        keys: Vec::new(),
        floor: Version::default(),
        patches: sealed.patches(),
    }
}

/// Signs a manifest with a new key.
pub fn sign(json: &[u8]) -> (String, TrustedKey) {
    let signer = Signer::default();
    (signer.sign(json), signer.key())
}
