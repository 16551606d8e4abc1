//! Asks tools that are not ours.

use std::path::Path;
use std::process::Command;

use manifest::model::Verity;

use super::job::{Job, Outcome};
use crate::process::{self, ProcessError};

/// Runs a tool; that it is not installed is no fault of the image.
fn ask(command: &mut Command, package: &str) -> Outcome {
    match process::output(command) {
        Ok(_) => Outcome::Passed(String::new()),
        Err(ProcessError::Start { program, .. }) => {
            Outcome::Skipped(format!("{program} is not installed (Debian package {package})"))
        }
        Err(error) => Outcome::Failed(error.to_string()),
    }
}

/// Verifies the manifest beside the bundle with minisign.
pub fn signature(job: &Job<'_>) -> Outcome {
    let json = job.bundle.with_extension("manifest.json");
    let signature = job.bundle.with_extension("manifest.json.minisig");
    if !json.is_file() || !signature.is_file() {
        return Outcome::Skipped("there is no manifest next to the bundle".into());
    }
    let Some(key) = job.key_files.first() else {
        return Outcome::Skipped("no key was named".into());
    };
    let mut command = Command::new("minisign");
    ask(
        command
            .arg("-V")
            .arg("-q")
            .arg("-p")
            .arg(key)
            .arg("-m")
            .arg(&json)
            .arg("-x")
            .arg(&signature),
        "minisign",
    )
}

/// Verifies all data blocks of a slot image against the hash tree and the root hash.
pub fn verity(verity: &Verity, slot: &Path) -> Outcome {
    let mut command = Command::new("/usr/sbin/veritysetup");
    command.args(["verify", "--no-superblock", "--format=1", "--hash=sha256"]);
    command.args(["--data-block-size=4096", "--hash-block-size=4096"]);
    command.arg(format!("--data-blocks={}", verity.data_blocks));
    command.arg(format!("--hash-offset={}", verity.tree_offset));
    command.arg(format!("--salt={}", verity.salt));
    ask(
        command.args([slot, slot]).arg(verity.root_hash.to_string()),
        "cryptsetup-bin",
    )
}

/// Checks the root file system.
pub fn erofs(job: &Job<'_>, image: &Path) -> Outcome {
    ask(job.erofs.command("fsck.erofs").arg(image), "erofs-utils")
}

/// Checks a FAT volume without changing it.
pub fn vfat(volume: &Path) -> Outcome {
    ask(
        Command::new("/usr/sbin/fsck.vfat").arg("-n").arg(volume),
        "dosfstools",
    )
}

/// Checks a disk image against its checksum.
pub fn checksum(image: &Path) -> Outcome {
    let mut command = Command::new("sha256sum");
    if let Some(folder) = image.parent() {
        command.current_dir(if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        });
    }
    let list = image.with_extension("img.sha256");
    ask(
        command
            .arg("--check")
            .arg("--strict")
            .arg(list.file_name().unwrap_or_default()),
        "coreutils",
    )
}

/// Checks the partition table of a disk image.
pub fn partition_table(image: &Path) -> Outcome {
    let mut command = Command::new("/usr/sbin/sgdisk");
    // It ends with success even when it has found problems: only its words tell.
    match process::output(command.arg("-v").arg(image)) {
        Ok(said) if said.contains("No problems found") => Outcome::Passed(String::new()),
        Ok(said) => Outcome::Failed(said.split_whitespace().collect::<Vec<_>>().join(" ")),
        Err(ProcessError::Start { .. }) => {
            Outcome::Skipped("sgdisk is not installed (Debian package gdisk)".into())
        }
        Err(error) => Outcome::Failed(error.to_string()),
    }
}

/// Copies a disk image by its block map, which checks the map's own hash and those of all blocks.
pub fn block_map(image: &Path, scratch: &Path) -> Outcome {
    let map = image.with_extension("img.bmap");
    let mut command = Command::new("bmaptool");
    let copy = scratch.join("copy.img");
    ask(
        command
            .arg("--quiet")
            .arg("copy")
            .arg("--bmap")
            .arg(map)
            .arg(image)
            .arg(copy),
        "bmap-tools",
    )
}
