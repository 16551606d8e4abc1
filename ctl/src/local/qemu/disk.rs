//! Disk images, and the disks of nodes on top of them.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;

use super::tools::{DISKS, run};

/// The package with the program for disks, in Debian.
const PACKAGE: &str = "qemu-utils";
/// What a partition table begins with, after the first sector.
const TABLE: &[u8] = b"EFI PART";
const SECTOR: u64 = 512;

/// A disk image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Image {
    /// The format, as QEMU calls it.
    format: String,
    /// Bytes of the disk.
    size: u64,
}

impl Image {
    /// Looks at a file.
    ///
    /// # Errors
    /// Fails when it is no disk image, and says how to get one.
    pub(super) fn look(file: &Path) -> anyhow::Result<Image> {
        let shown = || {
            format!(
                "{} is not a disk image: `bedplate-image build --disk-image=qcow2` makes one",
                file.display()
            )
        };
        let info = [DISKS_INFO, &["--output=json"]].concat();
        let mut arguments: Vec<_> = info.iter().map(std::ffi::OsStr::new).collect();
        arguments.push(file.as_os_str());
        let image = parse(&run(DISKS, PACKAGE, arguments)?).with_context(shown)?;
        // To QEMU, every file of an unknown format is a raw disk.
        anyhow::ensure!(image.format != "raw" || has_table(file)?, "{}", shown());
        Ok(image)
    }

    /// Makes a disk that begins as this image, which is never written to.
    ///
    /// # Errors
    /// Fails when the disk would be smaller than the image, or cannot be written.
    pub(super) fn make_disk(&self, image: &Path, disk: &Path, size: u64) -> anyhow::Result<()> {
        anyhow::ensure!(
            size >= self.size,
            "a disk of {} is smaller than the image: give --disk {} or more",
            quantity::human_bytes(size),
            quantity::human_bytes(self.size)
        );
        let size = size.to_string();
        let words = ["create", "-q", "-f", "qcow2", "-F", &self.format, "-b"];
        let mut arguments: Vec<_> = words.iter().map(std::ffi::OsStr::new).collect();
        arguments.extend([image.as_os_str(), disk.as_os_str(), size.as_ref()]);
        run(DISKS, PACKAGE, arguments).map(drop)
    }
}

/// The command that shows an image, also one that a machine uses.
const DISKS_INFO: &[&str] = &["info", "--force-share"];

/// Keeps an image for a cluster, so that a new one of the same name changes nothing: a second name for it, or else a copy.
pub(super) fn keep(image: &Path, kept: &Path) -> anyhow::Result<()> {
    let linked = fs::hard_link(image, kept);
    // On another file system, or where it is another user's.
    let copied = linked.or_else(|_| fs::copy(image, kept).map(drop));
    copied.with_context(|| format!("cannot copy {} to {}", image.display(), kept.display()))
}

/// Names the file that an image of this version has where `bedplate-image` writes it.
pub(super) fn usual(arch: &str) -> PathBuf {
    let name = format!("bedplate-generic-{arch}-{}.qcow2", env!("CARGO_PKG_VERSION"));
    let places = ["", "out"].map(|folder| Path::new(folder).join(&name));
    let [_, last] = &places;
    places
        .iter()
        .find(|place| place.is_file())
        .unwrap_or(last)
        .clone()
}

/// Reads `qemu-img info --output=json`. Pure.
fn parse(text: &str) -> anyhow::Result<Image> {
    let value: Value = serde_json::from_str(text).context("qemu-img does not answer with JSON")?;
    let format = value["format"].as_str().context("qemu-img names no format")?;
    anyhow::ensure!(
        matches!(format, "raw" | "qcow2"),
        "its format is {format}, not raw or qcow2"
    );
    anyhow::ensure!(
        value.get("backing-filename").is_none(),
        "it is only a part of another image: use that one"
    );
    let size = value["virtual-size"].as_u64();
    Ok(Image {
        format: format.to_owned(),
        size: size.context("qemu-img names no size")?,
    })
}

fn has_table(file: &Path) -> anyhow::Result<bool> {
    let shown = || format!("cannot read {}", file.display());
    let mut open = File::open(file).with_context(shown)?;
    open.seek(SeekFrom::Start(SECTOR)).with_context(shown)?;
    let mut start = Vec::new();
    open.take(TABLE.len() as u64)
        .read_to_end(&mut start)
        .with_context(shown)?;
    Ok(start == TABLE)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_whole_disks_of_two_formats_are_images() {
        let text = r#"{"virtual-size": 3221225472, "filename": "x.qcow2", "cluster-size": 65536, "format": "qcow2"}"#;
        let image = parse(text).unwrap();
        assert_eq!((image.format.as_str(), image.size), ("qcow2", 3 << 30));
        let too_small = image.make_disk(Path::new("x"), Path::new("y"), 1 << 30);
        let said = too_small.unwrap_err().to_string();
        assert!(said.contains("smaller than the image"), "{said}");
        for bad in [
            r#"{"virtual-size": 3, "format": "vmdk"}"#,
            r#"{"virtual-size": 3, "format": "qcow2", "backing-filename": "y"}"#,
            r#"{"format": "qcow2"}"#,
            "[]",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_kept_image_stays_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let (image, kept) = (folder.path().join("image"), folder.path().join("kept"));
        fs::write(&image, "old").unwrap();
        keep(&image, &kept).unwrap();
        // As `bedplate-image` replaces it.
        fs::write(folder.path().join("new"), "new").unwrap();
        fs::rename(folder.path().join("new"), &image).unwrap();
        assert_eq!(fs::read(&kept).unwrap(), b"old");
    }

    #[test]
    fn a_raw_image_has_a_partition_table() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x");
        for (content, expected) in [("", false), ("tar", false)] {
            fs::write(&file, content).unwrap();
            assert_eq!(has_table(&file).unwrap(), expected);
        }
        let mut disk = vec![0; 512];
        disk.extend(TABLE);
        fs::write(&file, disk).unwrap();
        assert!(has_table(&file).unwrap());
    }

    proptest! {
        #[test]
        fn nothing_that_it_writes_is_fatal(text in ".*") {
            let _ = parse(&text);
        }
    }
}
