//! Block devices, from `/sys/block`.

use std::path::Path;

use api::v1alpha1::{Disk, DisksResponse, Partition};

use super::{Host, entries, number, text};

/// Unit of `/sys/block` whatever the disk's own is.
const SECTOR: u64 = 512;

impl Host {
    /// Lists block devices that have a size, without loop and memory devices.
    pub fn disks(&self) -> DisksResponse {
        let folder = self.sys.join("block");
        let names = entries(&folder)
            .into_iter()
            .filter(|name| !name.starts_with("loop") && !name.starts_with("ram"));
        let disks = names.map(|name| disk(&folder.join(&name), name));
        DisksResponse {
            disks: disks.filter(|disk| disk.size_bytes > 0).collect(),
        }
    }
}

fn disk(folder: &Path, name: String) -> Disk {
    let flag = |file: &str| number::<u32>(&folder.join(file)) != 0;
    // Disks on SCSI have a model, cards have a name.
    let first = |files: [&str; 2]| {
        let found = files.map(|file| text(&folder.join(file)));
        found
            .into_iter()
            .find(|text| !text.is_empty())
            .unwrap_or_default()
    };
    let [reads, read_bytes, writes, written_bytes] = parse_stat(&text(&folder.join("stat")));
    Disk {
        size_bytes: sectors(&folder.join("size")),
        model: first(["device/model", "device/name"]),
        serial: first(["device/serial", "serial"]),
        read_only: flag("ro"),
        removable: flag("removable"),
        rotational: flag("queue/rotational"),
        read_bytes,
        written_bytes,
        reads,
        writes,
        partitions: partitions(folder),
        name,
    }
}

fn partitions(folder: &Path) -> Vec<Partition> {
    let mut found: Vec<(u32, Partition)> = Vec::new();
    for name in entries(folder) {
        let folder = folder.join(&name);
        let number = number::<u32>(&folder.join("partition"));
        if number > 0 {
            let uevent = text(&folder.join("uevent"));
            let label = uevent.lines().find_map(|line| line.strip_prefix("PARTNAME="));
            let partition = Partition {
                label: label.unwrap_or_default().to_owned(),
                size_bytes: sectors(&folder.join("size")),
                start_bytes: sectors(&folder.join("start")),
                name,
            };
            found.push((number, partition));
        }
    }
    found.sort_by_key(|(number, _)| *number);
    found.into_iter().map(|(_, partition)| partition).collect()
}

fn sectors(path: &Path) -> u64 {
    number::<u64>(path).saturating_mul(SECTOR)
}

/// Columns: reads, merged, sectors read, ms; writes, merged, sectors written, ms; …
fn parse_stat(text: &str) -> [u64; 4] {
    let columns: Vec<u64> = text
        .split_ascii_whitespace()
        .map(|word| word.parse().unwrap_or(0))
        .collect();
    let column = |index: usize| columns.get(index).copied().unwrap_or(0);
    [
        column(0),
        column(2).saturating_mul(SECTOR),
        column(4),
        column(6).saturating_mul(SECTOR),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_card_with_partitions_and_skips_the_rest() {
        let root = tempfile::tempdir().unwrap();
        let files = [
            ("mmcblk0/size", "1000\n"),
            ("mmcblk0/ro", "1"),
            ("mmcblk0/device/name", "SD32G"),
            ("mmcblk0/stat", "  3 0 8 1  5 0 16 2 0 0 0"),
            ("mmcblk0/mmcblk0p10/partition", "10"),
            ("mmcblk0/mmcblk0p2/partition", "2"),
            ("mmcblk0/mmcblk0p2/size", "4"),
            ("mmcblk0/mmcblk0p2/start", "2"),
            ("mmcblk0/mmcblk0p2/uevent", "MAJOR=1\nPARTNAME=STATE\n"),
            ("loop0/size", "8"),
            ("sr0/size", "0"),
        ];
        for (path, content) in files {
            let path = root.path().join("sys/block").join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        let disks = Host::at(root.path()).disks().disks;
        assert_eq!(disks.len(), 1, "{disks:?}");
        let disk = &disks[0];
        assert_eq!(
            (disk.size_bytes, disk.read_only, disk.model.as_str()),
            (512_000, true, "SD32G")
        );
        assert_eq!(
            (disk.reads, disk.read_bytes, disk.writes, disk.written_bytes),
            (3, 4096, 5, 8192)
        );
        let names: Vec<&str> = disk
            .partitions
            .iter()
            .map(|partition| partition.name.as_str())
            .collect();
        assert_eq!(names, ["mmcblk0p2", "mmcblk0p10"]);
        assert_eq!(
            (disk.partitions[0].label.as_str(), disk.partitions[0].start_bytes),
            ("STATE", 1024)
        );
    }
}
