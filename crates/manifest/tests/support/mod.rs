//! A sound manifest, and minisign itself as the signer: what we check is made by other code than ours.
#![allow(
    dead_code,
    missing_docs,
    clippy::unwrap_used,
    reason = "a helper of tests; each test program uses its part"
)]

use std::io::Cursor;

use manifest::{
    Arch, DeviceTrees, Digest, Disk, Image, ImageName, Index, Manifest, Part, PartKind, PatchSet, SlotImage,
    TrustedKey, Verity,
};
use minisign::KeyPair;

pub struct Signer(KeyPair);

impl Signer {
    pub fn new() -> Signer {
        Signer(KeyPair::generate_unencrypted_keypair().unwrap())
    }

    pub fn key(&self) -> TrustedKey {
        TrustedKey::parse(&self.0.pk.to_box().unwrap().to_string()).unwrap()
    }

    pub fn sign(&self, json: &[u8]) -> Vec<u8> {
        let signature = minisign::sign(
            None,
            &self.0.sk,
            Cursor::new(json),
            Some("a release"),
            Some("by a test"),
        );
        signature.unwrap().to_string().into_bytes()
    }
}

pub fn sample() -> Manifest {
    let mut offset = 0;
    let mut part = |kind, name: &str, size: u64| {
        let part = Part {
            kind,
            name: name.into(),
            offset,
            size,
            sha256: Digest::of(name.as_bytes()),
        };
        offset += size.next_multiple_of(4096);
        part
    };
    let parts = vec![
        part(PartKind::Kernel, "vmlinuz", 37_000_001),
        part(PartKind::Initramfs, "initramfs", 4096),
        part(PartKind::DeviceTree, "bcm2837-rpi-3-b.dtb", 17),
        part(PartKind::Root, "root.erofs", 163_000_320),
    ];
    let data_blocks = offset / 4096;
    let (tree_offset, tree_size) = (offset, 1_593_344);
    Manifest {
        format: 1,
        board: "rpi3".into(),
        arch: Arch::Arm64,
        version: "0.1.0".parse().unwrap(),
        created: 1_700_000_000,
        overlays: vec!["base".into()],
        locked: true,
        cmdline: "console=ttyAMA0 panic=10".into(),
        slot: SlotImage {
            size: tree_offset + tree_size,
            parts,
            verity: Verity {
                data_blocks,
                tree_offset,
                tree_size,
                salt: Digest::of(b"bedplate slot"),
                root_hash: Digest::of(b"root"),
            },
        },
        disk: Disk {
            slot_size: 512 << 20,
            first_partition: 1 << 20,
            hybrid_mbr: true,
        },
        images: vec![
            Image {
                name: ImageName::SLOT,
                offset: None,
                size: tree_offset + tree_size,
                sha256: Digest::of(b"slot"),
            },
            Image {
                name: ImageName::ESP,
                offset: None,
                size: 128 << 20,
                sha256: Digest::of(b"esp"),
            },
            Image {
                name: ImageName::BOOTCODE,
                offset: Some(32768),
                size: 9_000_000 / 16,
                sha256: Digest::of(b"boot"),
            },
        ],
        index: Index {
            frames: 180,
            sha256: Digest::of(b"index"),
        },
        device_trees: Some(DeviceTrees {
            default: "bcm2837-rpi-3-b.dtb".into(),
            prefer: Default::default(),
        }),
        keys: Vec::new(),
        floor: Default::default(),
        patches: Vec::new(),
    }
}

/// A key that could sign.
pub fn key() -> TrustedKey {
    Signer::new().key()
}

/// A set of patches that starts from the image `old`, at `offset` of the bundle.
pub fn patches(old: &[u8], offset: u64) -> PatchSet {
    PatchSet {
        from: Digest::of(old),
        version: "0.0.9".parse().unwrap(),
        offset,
        index_size: 4096,
        size: 100_000,
        sha256: Digest::of(b"patch index"),
    }
}
