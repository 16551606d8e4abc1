//! Images on the bench: no emulator, only checkers.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use layout::Name;
use slots::Slot;

use crate::disk::Disk;
use crate::scenario::Stage;
use crate::tools::Tool;

const BOARD: &str = "qemu-arm64";
const BOARDS: [&str; 4] = [BOARD, "generic-arm64", "generic-amd64", "rpi3"];

/// Lets tools that are not ours judge a flashed disk.
pub fn foreign(stage: &Stage) -> Result<()> {
    let disk = stage.disk(BOARD, true)?;
    let said = Tool::new("sgdisk").arg("-v").arg(disk.path()).run()?;
    ensure!(said.contains("No problems found"), "sgdisk says: {said}");
    stage.shown("sgdisk: the partition table is sound");

    let esp = stage.folder.join("esp.img");
    disk.extract(Name::Esp, 0, disk.extent(Name::Esp)?.len, &esp)?;
    Tool::new("fsck.vfat").arg("-n").arg(&esp).run()?;
    stage.shown("fsck.vfat: the ESP is sound");

    verity(stage, &disk)?;
    let (json, signatures) = disk.trailer(Slot::A)?;
    signature(stage, &json, &signatures)?;
    contents(stage)
}

/// Takes every board's bundle apart: what may be in a root, and which programs are.
fn contents(stage: &Stage) -> Result<()> {
    let key = stage.workshop.key("release")?.public;
    for board in BOARDS {
        let bundle = stage.workshop.bundle(board)?;
        let check = Tool::ours("bedplate-image").args(["check", "--quiet", "--key"]);
        check.arg(&key).arg(&bundle).run()?;
    }
    stage.shown("every board's root has the listed programs, and no shell, script, set-uid or writable file");
    Ok(())
}

fn verity(stage: &Stage, disk: &Disk) -> Result<()> {
    let manifest = disk.manifest(Slot::A)?;
    let slot = stage.folder.join("slot.img");
    disk.extract(Name::SlotA, 0, manifest.slot.size, &slot)?;
    let verity = &manifest.slot.verity;
    let check = |root_hash: &str| {
        Tool::new("veritysetup")
            .args(["verify", "--no-superblock", "--format=1", "--hash=sha256"])
            .args(["--data-block-size=4096", "--hash-block-size=4096"])
            .arg(format!("--data-blocks={}", verity.data_blocks))
            .arg(format!("--hash-offset={}", verity.tree_offset))
            .arg(format!("--salt={}", verity.salt))
            .args([&slot, &slot])
            .arg(root_hash)
    };
    let root_hash = verity.root_hash.to_string();
    check(&root_hash).run()?;
    // A check that cannot fail shows nothing.
    let other: String = root_hash.chars().rev().collect();
    check(&other).refuse()?;
    stage.shown("veritysetup: the hash tree covers the slot");

    let root = manifest.root();
    let image = stage.folder.join("root.img");
    disk.extract(Name::SlotA, root.offset, root.size, &image)?;
    Tool::new("fsck.erofs").arg(&image).run()?;
    stage.shown("fsck.erofs: the root file system is sound");
    Ok(())
}

fn signature(stage: &Stage, json: &[u8], signatures: &[u8]) -> Result<()> {
    let file = stage.folder.join("manifest.json");
    fs::write(&file, json)?;
    fs::write(stage.folder.join("manifest.json.minisig"), signatures)?;
    let check = |public: &Path| {
        Tool::new("minisign")
            .args(["-V", "-m"])
            .arg(&file)
            .arg("-p")
            .arg(public)
    };
    check(&stage.workshop.key("release")?.public).run()?;
    check(&stage.workshop.key("stranger")?.public).refuse()?;
    stage.shown("minisign: the manifest is signed by our key");
    Ok(())
}

/// Builds once more, elsewhere and later, and compares.
pub fn reproducible(stage: &Stage) -> Result<()> {
    let first = stage.workshop.bundle(BOARD)?;
    let second = stage
        .workshop
        .build(BOARD, &stage.folder.join("again/elsewhere"))?;
    ensure!(first != second, "both builds are the same file");
    let name = |path: &Path| path.file_name().map(ToOwned::to_owned);
    ensure!(name(&first) == name(&second), "the builds have different names");
    Tool::new("cmp")
        .args([&first, &second])
        .run()
        .context("the two builds differ")?;
    stage.shown(&format!("{} bytes are equal", fs::metadata(&first)?.len()));
    Ok(())
}
