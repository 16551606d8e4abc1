//! Small signed releases, and disks with them.

use std::io::Cursor;
use std::sync::OnceLock;

use bundle::{ImageName, Reader, Writer};
use layout::Guids;
use manifest::model::Version;
use manifest::{Arch, Digest, Disk, Image, Manifest, Part, PartKind, SlotImage, TrustedKey, Verity};
use minisign::KeyPair;
use powercut::{Node, Random};

pub const MIB: u64 = 1 << 20;

/// The smallest machine config that is right.
pub const CONFIG: &str = "\
apiVersion: bedplate.dev/v1alpha1
kind: MachineConfig
machine:
  role: standalone
  ca:
    cert: \"-----BEGIN CERTIFICATE-----\\nMIIB\\n-----END CERTIFICATE-----\"
    key: \"-----BEGIN PRIVATE KEY-----\\nMC4C\\n-----END PRIVATE KEY-----\"
";

/// Says what does not hold.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Fault(pub String);

/// Fails with a sentence when something does not hold.
pub fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<(), Fault> {
    if holds { Ok(()) } else { Err(Fault(what())) }
}

/// Makes bytes that pack badly.
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    Random::new(seed).bytes(len)
}

/// The key that all releases are signed with.
fn keys() -> &'static KeyPair {
    static KEYS: OnceLock<KeyPair> = OnceLock::new();
    KEYS.get_or_init(|| KeyPair::generate_unencrypted_keypair().unwrap())
}

/// Returns the key that loaders trust.
pub fn trusted() -> TrustedKey {
    TrustedKey::parse(&keys().pk.to_box().unwrap().to_string()).unwrap()
}

/// Makes a machine that trusts our releases.
pub fn node() -> Node {
    Node::new(&[trusted()], Arch::Arm64)
}

/// What to put into a release.
#[derive(Clone)]
pub struct Recipe {
    pub version: Version,
    pub floor: Version,
    pub root: Vec<u8>,
    pub slot_size: u64,
    pub cmdline: &'static str,
}

impl Recipe {
    /// A release of this version, whose root differs from that of others here and there.
    pub fn version(major: u16, len: usize) -> Self {
        let mut root = noise(len, 1);
        for (block, piece) in root.chunks_mut(4096).enumerate() {
            if block % 3 == usize::from(major) % 3 {
                piece.copy_from_slice(&noise(piece.len(), u64::from(major) << 32 | block as u64));
            }
        }
        Self {
            version: Version::new(major, 0, 0),
            floor: Version::default(),
            root,
            slot_size: MIB,
            cmdline: "console=ttyAMA0 gpt",
        }
    }
}

/// A signed release.
pub struct Release {
    pub bytes: Vec<u8>,
    pub slot: Vec<u8>,
    #[allow(dead_code, reason = "upgrades ask for it")]
    pub manifest: Manifest,
    pub json: Vec<u8>,
    pub signatures: Vec<u8>,
}

impl Release {
    pub fn reader(&self) -> Reader<Cursor<&[u8]>> {
        Reader::open(Cursor::new(&self.bytes[..]), &[trusted()]).unwrap()
    }

    /// Returns what names the release on a kernel's command line.
    pub fn id(&self) -> Digest {
        Digest::of(&self.json)
    }

    /// Returns the last 64 KiB of a slot with it.
    pub fn trailer(&self) -> Vec<u8> {
        manifest::trailer::encode(&self.json, &self.signatures).unwrap()
    }
}

fn slot_image(root: &[u8]) -> (Vec<u8>, SlotImage) {
    let (mut data, mut parts) = (Vec::new(), Vec::new());
    let contents = [
        (PartKind::Kernel, "vmlinuz", noise(9000, 11)),
        (PartKind::Initramfs, "initramfs", b"0707010".repeat(1000)),
        (PartKind::Root, "root.erofs", root.to_vec()),
    ];
    for (kind, name, bytes) in contents {
        parts.push(Part {
            kind,
            name: name.into(),
            offset: data.len() as u64,
            size: bytes.len() as u64,
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

pub fn release(recipe: &Recipe) -> Release {
    let (slot, slot_image) = slot_image(&recipe.root);
    let mut writer = Writer::new(Cursor::new(Vec::new())).frame_len(65536).level(1);
    writer.add(ImageName::Slot, 0, &mut &slot[..]).unwrap();
    let esp = [noise(512, 4), vec![0; 8192], b"loader".repeat(2000)].concat();
    writer.add(ImageName::Esp, 0, &mut &esp[..]).unwrap();
    let code = noise(9000, 3);
    writer.add(ImageName::Bootcode, 0, &mut &code[..]).unwrap();
    let sealed = writer.seal();
    let image = |name, offset, size| Image {
        name,
        offset,
        size,
        sha256: sealed.sha256(name),
    };
    let manifest = Manifest {
        format: 1,
        board: "test".into(),
        arch: Arch::Arm64,
        version: recipe.version,
        created: 1_700_000_000,
        overlays: vec!["base".into()],
        locked: true,
        cmdline: recipe.cmdline.into(),
        disk: Disk {
            slot_size: recipe.slot_size,
            first_partition: MIB,
            hybrid_mbr: true,
        },
        images: vec![
            image(ImageName::Slot, None, slot.len() as u64),
            image(ImageName::Esp, None, 128 * MIB),
            image(ImageName::Bootcode, Some(32768), code.len() as u64),
        ],
        slot: slot_image,
        index: sealed.index(),
        device_trees: None,
        keys: Vec::new(),
        floor: recipe.floor,
        patches: Vec::new(),
    };
    let json = manifest.to_json().unwrap();
    let signatures = minisign::sign(None, &keys().sk, Cursor::new(&json), None, None).unwrap();
    let signatures = signatures.to_string().into_bytes();
    let mut bytes = Vec::new();
    sealed.write(&mut bytes, &json, &signatures).unwrap();
    Release {
        bytes,
        slot,
        manifest,
        json,
        signatures,
    }
}

/// Names for a disk.
pub fn guids() -> Guids {
    Guids::from_seed(b"test")
}
