//! The content of a slot, verified before it is used.

use bootloader_core::{Expected, examine};
use manifest::{Digest, Part, PartKind, TrustedKey, VerifiedManifest, trailer};
use sha2::{Digest as _, Sha256};
use slots::Reason;
use uefi::Status;

use crate::disk::{Disk, DiskFault};
use crate::gpt::Partition;
use crate::machine::ARCH;
use crate::pages::Pages;
use crate::watchdog;

/// How much is read before it is hashed: small enough to still be in the cache.
const STRIDE: usize = 1 << 20;

/// A part of a slot whose hash matches the manifest's.
pub struct VerifiedPart {
    pages: Pages,
    len: usize,
}

impl VerifiedPart {
    /// Returns the part's bytes, without padding.
    pub fn bytes(&self) -> &[u8] {
        &self.pages[..self.len]
    }
}

/// Reads and checks the manifest of a slot.
pub fn read_manifest(
    disk: &mut Disk,
    partition: &Partition,
    keys: &[TrustedKey],
) -> Result<VerifiedManifest, Fault> {
    let mut area = Pages::new(trailer::AREA).map_err(DiskFault::from)?;
    let at = partition
        .len
        .checked_sub(trailer::AREA as u64)
        .ok_or(DiskFault::Range)?;
    disk.read(partition, at, &mut area[..trailer::AREA])?;
    let expected = Expected {
        keys,
        arch: ARCH,
        partition_len: partition.len,
    };
    Ok(examine(&area, &expected)?)
}

/// Reads a part into memory and compares its hash with the manifest's.
pub fn read_part(disk: &mut Disk, partition: &Partition, part: &Part) -> Result<VerifiedPart, Fault> {
    let len = usize::try_from(part.size).map_err(|_| Fault::Memory)?;
    let mut pages = Pages::new(disk.whole_blocks(len)).map_err(|_| Fault::Memory)?;
    let mut hash = Sha256::new();
    let padded = disk.whole_blocks(len);
    for start in (0..len).step_by(STRIDE) {
        let end = padded.min(start + STRIDE);
        disk.read(partition, part.offset + start as u64, &mut pages[start..end])?;
        hash.update(&pages[start..end.min(len)]);
        watchdog::feed();
    }
    if Digest(hash.finalize().into()) != part.sha256 {
        return Err(Fault::Hash(part.kind));
    }
    Ok(VerifiedPart { pages, len })
}

/// Why a slot, or a part of it, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Its manifest is refused.
    #[error(transparent)]
    Manifest(#[from] bootloader_core::Refusal),
    /// Its bytes cannot be read.
    #[error("cannot be read")]
    Read(#[from] DiskFault),
    /// Its bytes do not fit into memory.
    #[error("not enough memory")]
    Memory,
    /// Its hash differs from the signed one.
    #[error("{0} has another hash than in the manifest")]
    Hash(PartKind),
    /// The firmware refuses the kernel.
    #[error("kernel cannot be loaded: firmware says {0}")]
    Load(Status),
    /// The firmware refuses initramfs or device tree.
    #[error("initramfs or device tree cannot be handed over: firmware says {0}")]
    HandOver(Status),
    /// Its kernel ended instead of starting.
    #[error("kernel came back with {0}")]
    Start(Status),
    /// It is on trial, and the lowered count could not be written.
    #[error("try could not be counted")]
    Uncounted,
    /// The partition table does not list it.
    #[error("no such partition")]
    Missing,
}

impl Fault {
    /// Returns true if the error's text says more than its reason.
    pub fn is_telling(&self) -> bool {
        match self {
            Fault::Read(_) | Fault::Load(_) | Fault::HandOver(_) | Fault::Start(_) => true,
            Fault::Manifest(refusal) => refusal.reason() != Reason::ManifestMissing,
            Fault::Memory | Fault::Hash(_) | Fault::Uncounted | Fault::Missing => false,
        }
    }

    /// Returns the reason for the slot record and the console.
    pub fn reason(&self) -> Reason {
        match self {
            Fault::Manifest(refusal) => refusal.reason(),
            Fault::Read(_) => Reason::ReadFailed,
            Fault::Memory => Reason::OutOfMemory,
            Fault::Load(_) | Fault::HandOver(_) => Reason::LoadFailed,
            Fault::Start(_) => Reason::StartFailed,
            Fault::Uncounted => Reason::RecordNotWritten,
            Fault::Missing => Reason::PartitionMissing,
            Fault::Hash(PartKind::Kernel) => Reason::KernelHash,
            Fault::Hash(PartKind::Initramfs) => Reason::InitramfsHash,
            Fault::Hash(PartKind::DeviceTree) => Reason::DeviceTreeHash,
            Fault::Hash(PartKind::Root) => Reason::RootHash,
        }
    }
}
