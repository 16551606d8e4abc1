//! Small signed releases for tests: real parts, real hash trees, real signatures, real patches, in a few MiB or less.
//!
//! Only tests depend on this crate. It panics where a test would unwrap.

#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "all of this crate is part of tests"
)]

mod patches;
mod ram;

use std::io::Cursor;

use bundle::{ImageName, Writer};
use manifest::model::Version;
use manifest::{Arch, Digest, Disk, Image, Manifest, Part, PartKind, SlotImage, TrustedKey, Verity, trailer};
use minisign::KeyPair;

pub use ram::Ram;

/// A small machine config with an authority of its own, which is valid from 2020 to 2119 and used nowhere else.
pub const CONFIG: &str = include_str!("machine-config.yaml");

/// Signs releases.
pub struct Signer(KeyPair);

impl Default for Signer {
    fn default() -> Self {
        Signer(KeyPair::generate_unencrypted_keypair().unwrap())
    }
}

impl Signer {
    /// Returns the public key.
    pub fn key(&self) -> TrustedKey {
        TrustedKey::parse(&self.0.pk.to_box().unwrap().to_string()).unwrap()
    }

    /// Signs a text.
    pub fn sign(&self, text: &[u8]) -> String {
        let comment = Some("a release for tests");
        minisign::sign(None, &self.0.sk, Cursor::new(text), comment, None)
            .unwrap()
            .to_string()
    }
}

/// The content of a release.
#[derive(Clone)]
pub struct Recipe<'a> {
    /// Its version.
    pub version: Version,
    /// The board that it is for.
    pub board: &'a str,
    /// The content of the kernel.
    pub kernel: Vec<u8>,
    /// The content of the root file system.
    pub root: Vec<u8>,
    /// The kernel's command line.
    pub cmdline: &'a str,
    /// The length of slots in the manifest.
    pub slot_size: u64,
    /// The length of frames.
    pub frame_len: usize,
    /// Keys that it trusts.
    pub keys: Vec<TrustedKey>,
    /// The lowest version that may boot after it.
    pub floor: Version,
    /// Older releases that it has patches from.
    pub from: Vec<&'a Release>,
}

/// A finished release.
#[derive(Clone)]
pub struct Release {
    /// The bundle.
    pub bundle: Vec<u8>,
    /// The slot image: data, then hash tree.
    pub slot: Vec<u8>,
    /// The end of a slot that holds it.
    pub trailer: Vec<u8>,
    /// Its manifest.
    pub manifest: Manifest,
}

impl Recipe<'_> {
    /// Starts with a version such as `1.2.3`, and a root file system.
    pub fn new(version: &str, root: Vec<u8>) -> Self {
        Recipe {
            version: version.parse().unwrap(),
            board: "test",
            kernel: noise(9000, 1),
            root,
            cmdline: "console=ttyAMA0",
            slot_size: 32 << 20,
            frame_len: 64 << 10,
            keys: Vec::new(),
            floor: Version::default(),
            from: Vec::new(),
        }
    }

    /// Builds and signs it.
    pub fn build(&self, signer: &Signer) -> Release {
        let (data, image) = slot_image(&[
            (PartKind::Kernel, "vmlinuz", &self.kernel),
            (PartKind::Initramfs, "initramfs.cpio", &b"0707010".repeat(500)),
            (PartKind::Root, "root.erofs", &self.root),
        ]);
        let tree_offset = image.verity.tree_offset as usize;
        let mut writer = Writer::new(Cursor::new(Vec::new()))
            .frame_len(self.frame_len)
            .level(3);
        let upper = verity::Geometry::new(image.verity.data_blocks)
            .unwrap()
            .upper_len() as usize;
        let cuts = [0, tree_offset, tree_offset + upper, data.len()];
        for (number, cut) in cuts.windows(2).enumerate() {
            let (offset, mut piece) = (cut[0] as u64, &data[cut[0]..cut[1]]);
            let added = match number {
                1 => writer.add_in_front(ImageName::SLOT, offset, &mut piece),
                _ => writer.add(ImageName::SLOT, offset, &mut piece),
            };
            added.unwrap();
        }
        let esp = vec![7; 8192];
        writer.add(ImageName::ESP, 0, &mut esp.as_slice()).unwrap();
        let mut sealed = writer.seal();
        for old in &self.from {
            let patches = patches::between(&old.slot[..old.data_len()], &data[..tree_offset]);
            let from = old.manifest.slot.verity.root_hash;
            sealed.add_patches(from, old.manifest.version, &patches).unwrap();
        }
        let images = [(ImageName::SLOT, data.len()), (ImageName::ESP, esp.len())];
        let manifest = Manifest {
            format: 1,
            board: self.board.into(),
            arch: Arch::Arm64,
            version: self.version,
            created: 1_700_000_000,
            overlays: vec!["base".into()],
            locked: true,
            cmdline: self.cmdline.into(),
            slot: image,
            disk: Disk {
                slot_size: self.slot_size,
                first_partition: 1 << 20,
                hybrid_mbr: false,
            },
            images: images
                .map(|(name, size)| Image {
                    name,
                    offset: None,
                    size: size as u64,
                    sha256: sealed.sha256(name),
                })
                .to_vec(),
            index: sealed.index(),
            device_trees: None,
            keys: self.keys.clone(),
            floor: self.floor,
            patches: sealed.patches(),
        };
        let json = manifest.to_json().unwrap();
        let signatures = signer.sign(&json);
        let mut bundle = Vec::new();
        sealed.write(&mut bundle, &json, signatures.as_bytes()).unwrap();
        Release {
            bundle,
            slot: data,
            trailer: trailer::encode(&json, signatures.as_bytes()).unwrap(),
            manifest,
        }
    }
}

impl Release {
    /// Returns the content of a slot partition of this length that holds this release, filled up with `filler`.
    pub fn partition(&self, len: usize, filler: u8) -> Vec<u8> {
        let mut partition = vec![filler; len];
        partition[..self.slot.len()].copy_from_slice(&self.slot);
        partition[len - self.trailer.len()..].copy_from_slice(&self.trailer);
        partition
    }

    /// Returns the bytes of the slot image's data.
    pub fn data_len(&self) -> usize {
        self.manifest.slot.verity.tree_offset as usize
    }
}

/// Lays out the parts of a slot, with the hash tree over them.
pub fn slot_image(contents: &[(PartKind, &str, &[u8])]) -> (Vec<u8>, SlotImage) {
    let mut data = Vec::new();
    let mut parts = Vec::new();
    for (kind, name, bytes) in contents {
        parts.push(Part {
            kind: *kind,
            name: (*name).into(),
            offset: data.len() as u64,
            size: bytes.len() as u64,
            sha256: Digest::of(bytes),
        });
        data.extend_from_slice(bytes);
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

/// Makes bytes that do not compress, the same for the same seed.
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect()
}
