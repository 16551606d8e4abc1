//! Small signed releases, and disks with them.

use std::io::Cursor;
use std::sync::OnceLock;

use bundle::Reader;
use layout::{Extent, Guids};
use manifest::{Arch, Digest, TrustedKey};
use powercut::{Image, Node, Places, Random};
pub use samples::CONFIG;
use samples::{Recipe, Release, Signer};
use slots::Slot;

pub const MIB: u64 = 1 << 20;

/// A property that does not hold.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Fault(pub String);

/// Fails with a sentence when a property does not hold.
pub fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<(), Fault> {
    if holds { Ok(()) } else { Err(Fault(what())) }
}

/// Makes bytes that do not compress.
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    Random::new(seed).bytes(len)
}

fn signer() -> &'static Signer {
    static SIGNER: OnceLock<Signer> = OnceLock::new();
    SIGNER.get_or_init(Signer::default)
}

/// Returns the key that loaders trust.
pub fn trusted() -> TrustedKey {
    signer().key()
}

/// Makes a machine that trusts our releases.
pub fn node() -> Node {
    Node::new(&[trusted()], Arch::Arm64)
}

/// Returns a root file system that differs from those of other versions in every third block.
pub fn root(version: usize, len: usize) -> Vec<u8> {
    let mut root = noise(len, 1);
    for (block, piece) in root.chunks_mut(4096).enumerate() {
        if block % 3 == version % 3 {
            piece.copy_from_slice(&noise(piece.len(), (version << 32 | block) as u64));
        }
    }
    root
}

/// Returns the length of a slot for a root of this length.
pub fn slot_size(root: usize) -> u64 {
    (root as u64 + 200_000).next_multiple_of(MIB)
}

/// Describes a release of this version: a small slot, and a command line with which Linux accepts either table.
pub fn recipe(version: usize, len: usize) -> Recipe<'static> {
    Recipe {
        slot_size: slot_size(len),
        cmdline: "console=ttyAMA0 gpt",
        ..Recipe::new(&format!("{version}.0.0"), root(version, len))
    }
}

/// Builds a release.
pub fn build(recipe: &Recipe<'_>) -> Release {
    recipe.build(signer())
}

/// Opens a release's bundle.
pub fn reader(release: &Release) -> Reader<Cursor<&[u8]>> {
    Reader::open(Cursor::new(&release.bundle[..]), &[trusted()]).unwrap()
}

/// Returns what identifies the release on a kernel's command line.
pub fn id(release: &Release) -> Digest {
    Digest::of(manifest::trailer::decode(&release.trailer).unwrap().json)
}

/// Returns GUIDs for a disk.
pub fn guids() -> Guids {
    Guids::from_seed(b"test")
}

/// Returns a disk without a table, for what happens between BOOTSTATE and the slots alone.
pub fn places(slot: u64) -> Places {
    let extent = |start, len| Extent { start, len };
    Places {
        record: extent(0, MIB),
        slots: [extent(MIB, slot), extent(MIB + slot, slot)],
    }
}

/// Writes a release into a slot.
pub fn fill(image: &mut Image, places: &Places, slot: Slot, release: &Release) {
    image.write(places.slots[slot.index()].start, &release.slot);
    image.write(places.trailer(slot).start, &release.trailer);
}
