//! Looks at the disk image beside a bundle: what other flashers write must be what ours writes.

use std::path::Path;

use layout::{DiskSpec, Layout, Name};

use super::job::{Finding, Outcome};
use super::subject::{Subject, copy_range};
use super::tools;

/// Runs all checks on a disk image.
pub fn all(image: &Path, subject: &Subject) -> Vec<Finding> {
    let esp = part(image, subject, Name::Esp, None, tools::vfat);
    let slot = &subject.manifest.slot;
    let slot = part(image, subject, Name::SlotA, Some(slot.size), |path| {
        tools::verity(&slot.verity, path)
    });
    vec![
        Finding::new("disk image: checksum (sha256sum)", tools::checksum(image)),
        Finding::new(
            "disk image: partition table (sgdisk)",
            tools::partition_table(image),
        ),
        Finding::new(
            "disk image: block map (bmaptool)",
            tools::block_map(image, subject.scratch.path()),
        ),
        Finding::new("disk image: EFI system partition (fsck.vfat)", esp),
        Finding::new("disk image: slot A (veritysetup)", slot),
    ]
}

/// Copies a partition, or so many bytes of it, out of a disk image, and looks at it.
fn part(
    image: &Path,
    subject: &Subject,
    name: Name,
    len: Option<u64>,
    look: impl Fn(&Path) -> Outcome,
) -> Outcome {
    let disk = &subject.manifest.disk;
    let spec = DiskSpec {
        slot_size: disk.slot_size,
        first_partition: disk.first_partition,
    };
    let Ok(layout) = Layout::least(&spec).and_then(|least| Layout::for_medium(&spec, least)) else {
        return Outcome::Failed("the manifest's disk cannot be laid out".into());
    };
    let extent = layout.extent(name);
    let path = subject.scratch.path().join(format!("{name}-of-image.img"));
    match copy_range(image, extent.start, len.unwrap_or(extent.len), &path) {
        Ok(()) => look(&path),
        Err(error) => Outcome::Failed(error.to_string()),
    }
}
