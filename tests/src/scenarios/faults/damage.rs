//! Ways to damage what is in slot B.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use layout::Name;
use slots::Slot;

use crate::disk::Disk;
use crate::tools::Tool;
use crate::workshop::Key;

/// Damages slot B of a disk. The key is the release's own, the folder is for scratch.
pub type Damage = fn(&Disk, &Key, &Path) -> Result<()>;

/// Blocks, of hashes and of data.
const BLOCK: u64 = 4096;
/// How many blocks one block of hashes covers.
const COVERED: u64 = 128;

/// Turns over one bit of the kernel: the loader must see it.
pub fn flip_in_kernel(disk: &Disk, _: &Key, _: &Path) -> Result<()> {
    let manifest = disk.manifest(Slot::B)?;
    disk.flip_bit(Name::SlotB, manifest.kernel().offset + manifest.kernel().size / 2)
}

/// Turns over one bit in each block of hashes of the lowest level, which the loader does not read.
pub fn flip_in_tree(disk: &Disk, _: &Key, _: &Path) -> Result<()> {
    let manifest = disk.manifest(Slot::B)?;
    let verity = &manifest.slot.verity;
    let leaves = verity.data_blocks.div_ceil(COVERED);
    let end = verity.tree_offset + verity.tree_size;
    for leaf in 1..=leaves {
        disk.flip_bit(Name::SlotB, end - leaf * BLOCK)?;
    }
    Ok(())
}

/// Writes zeros over the second half of what is in the slot, but for the manifest.
pub fn forget_second_half(disk: &Disk, _: &Key, _: &Path) -> Result<()> {
    let manifest = disk.manifest(Slot::B)?;
    let half = manifest.slot.size / 2;
    let behind = |offset: u64, size: u64| offset + size <= half;
    ensure!(
        behind(manifest.initramfs().offset, manifest.initramfs().size),
        "the loader would see it"
    );
    disk.write(
        Name::SlotB,
        half,
        &vec![0; usize::try_from(manifest.slot.size - half)?],
    )
}

/// Signs a manifest with another root hash: the release was made wrong.
pub fn other_root_hash(disk: &Disk, key: &Key, folder: &Path) -> Result<()> {
    let (json, _) = disk.trailer(Slot::B)?;
    let hash = disk.manifest(Slot::B)?.slot.verity.root_hash.to_string();
    let other: String = hash.chars().rev().collect();
    let json = String::from_utf8(json)?.replace(&hash, &other);
    ensure!(!json.contains(&hash), "the root hash could not be replaced");
    let file = folder.join("manifest.json");
    fs::write(&file, &json)?;
    let sign = Tool::new("minisign").args(["-S", "-W", "-m"]).arg(&file);
    sign.arg("-s").arg(&key.secret).run()?;
    let signatures = fs::read(folder.join("manifest.json.minisig")).context("minisign wrote no signature")?;
    disk.set_trailer(Slot::B, json.as_bytes(), &signatures)
}

/// Writes garbage over the head of each group of DATA's blocks, where a superblock may be: no copy is left to repair it by.
pub fn lose_data(disk: &Disk) -> Result<()> {
    const GROUP: u64 = 32768 * 4096;
    let extent = disk.extent(Name::Data)?;
    for at in (0..extent.len - 65536).step_by(usize::try_from(GROUP)?) {
        disk.write(Name::Data, at, &[0x5a; 65536])?;
    }
    Ok(())
}

/// Takes the first 32 KiB of containerd's database away, as power cuts do on cards that forget what they were given.
pub fn damage_store(disk: &Disk) -> Result<()> {
    let extent = disk.extent(Name::Data)?;
    let database = "/lib/containerd/io.containerd.metadata.v1.bolt/meta.db";
    let tool = Tool::new("debugfs").args(["-w", "-R", &format!("punch {database} 0 7")]);
    let device = format!("{}?offset={}", disk.path().display(), extent.start);
    let said = tool.arg(&device).run()?;
    ensure!(
        !said.contains("not found"),
        "containerd has no database yet: {said}"
    );
    Ok(())
}

/// Fills the DATA partition to the last block, as a log that nobody watches would.
pub fn fill_data(disk: &Disk) -> Result<()> {
    let extent = disk.extent(Name::Data)?;
    // What debugfs calls a file system in a file: its offset follows the name.
    let device = format!("{}?offset={}", disk.path().display(), extent.start);
    let debugfs = |command: &str| {
        let tool = Tool::new("debugfs").args(["-w", "-R", command]);
        tool.arg(&device).run()
    };
    let blocks = |text: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix("Free blocks:"));
        let number = line.and_then(|line| line.trim().parse::<u64>().ok());
        number.context("debugfs reports no free blocks")
    };
    let free = blocks(&debugfs("stats -h")?)?;
    debugfs("write /dev/null filler")?;
    debugfs(&format!("fallocate filler 0 {}", free))?;
    let left = blocks(&debugfs("stats -h")?)?;
    ensure!(
        left * 100 < free,
        "{left} of {free} blocks of DATA are still free"
    );
    Ok(())
}
