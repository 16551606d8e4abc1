//! Slot images, manifests and signatures for tests.

use std::io::{Cursor, Read, Seek, Write};

use bundle::{ImageName, Sealed};
use manifest::model::Version;
use manifest::{Arch, Digest, Disk, Image, Manifest, Part, PartKind, SlotImage, TrustedKey, Verity};
use minisign::KeyPair;

/// A MiB.
pub const MIB: u64 = 1024 * 1024;

/// Makes bytes that pack badly.
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect()
}

/// Makes a slot image: kernel, initramfs, root, tree.
pub fn slot(root: Vec<u8>) -> (Vec<u8>, SlotImage) {
    let mut data = Vec::new();
    let mut parts = Vec::new();
    let contents = [
        (PartKind::Kernel, "vmlinuz", noise(9000, 1)),
        (PartKind::Initramfs, "initramfs", b"0707010".repeat(3000)),
        (PartKind::Root, "root.erofs", root),
    ];
    for (kind, name, bytes) in contents {
        let (offset, size) = (data.len() as u64, bytes.len() as u64);
        parts.push(Part {
            kind,
            name: name.into(),
            offset,
            size,
            sha256: Digest::of(&bytes),
        });
        data.extend(bytes);
        data.resize(data.len().next_multiple_of(4096), 0);
    }
    let geometry = verity::Geometry::for_len(data.len() as u64).unwrap();
    let tree = verity::build(&mut &data[..], &geometry, &verity::SALT).unwrap();
    let verity = Verity {
        data_blocks: geometry.data_blocks(),
        tree_offset: data.len() as u64,
        tree_size: tree.bytes.len() as u64,
        salt: Digest(verity::SALT),
        root_hash: Digest(tree.root),
    };
    data.extend(tree.bytes);
    let size = data.len() as u64;
    (data, SlotImage { size, parts, verity })
}

/// Describes a bundle with a slot and other images, given by place and size.
pub fn manifest<S: Read + Write + Seek>(
    sealed: &Sealed<S>,
    slot: SlotImage,
    others: &[(ImageName, Option<u64>, u64)],
) -> Manifest {
    let mut images = vec![(ImageName::Slot, None, slot.size)];
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
    let KeyPair { pk, sk } = KeyPair::generate_unencrypted_keypair().unwrap();
    let signature = minisign::sign(None, &sk, Cursor::new(json), Some("release 1.2.3"), None).unwrap();
    let key = TrustedKey::parse(&pk.to_box().unwrap().to_string()).unwrap();
    (signature.to_string(), key)
}
