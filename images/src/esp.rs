//! Makes the EFI system partition: a FAT32 image that is the same for the same files.

use std::io::{self, Cursor, Write};
use std::ops::Range;

use fatfs::{Date, DateTime, FatType, FileSystem, FormatVolumeOptions, FsOptions, Time, TimeProvider};

use crate::tree::{Node, Tree};

/// Serial number of the volume, the same in every image: nothing identifies a medium by it.
const VOLUME_ID: u32 = 0xbed9_1a7e;
const LABEL: [u8; 11] = *b"BEDPLATE   ";
/// Small enough that a partition of 128 MiB has as many clusters as FAT32 needs.
const CLUSTER: u32 = 1024;

/// A FAT image, and which of its bytes matter.
pub struct Esp {
    /// The whole partition.
    pub image: Vec<u8>,
    /// The parts that hold something, in order; the rest is free space, and may hold anything.
    pub used: Vec<Range<u64>>,
}

/// FAT keeps times, which must not be those of the build.
#[derive(Debug)]
struct Epoch;

static EPOCH: Epoch = Epoch;

impl TimeProvider for Epoch {
    fn get_current_date(&self) -> Date {
        Date {
            year: 1980,
            month: 1,
            day: 1,
        }
    }

    fn get_current_date_time(&self) -> DateTime {
        DateTime {
            date: self.get_current_date(),
            time: Time {
                hour: 0,
                min: 0,
                sec: 0,
                millis: 0,
            },
        }
    }
}

/// Formats a partition of a size, and puts the tree's files into it. FAT has no links: the tree must have none.
pub fn make(tree: &Tree, size: u64) -> io::Result<Esp> {
    let mut disk = Cursor::new(vec![0; size as usize]);
    let format = FormatVolumeOptions::new()
        .fat_type(FatType::Fat32)
        .bytes_per_cluster(CLUSTER)
        .volume_id(VOLUME_ID)
        .volume_label(LABEL);
    fatfs::format_volume(&mut disk, format)?;
    let volume = FileSystem::new(&mut disk, FsOptions::new().time_provider(&EPOCH))?;
    for (path, node) in tree.iter() {
        match node {
            Node::Directory => drop(volume.root_dir().create_dir(path)?),
            Node::File { data, .. } => {
                let mut file = volume.root_dir().create_file(path)?;
                file.write_all(data)?;
                file.flush()?;
            }
            Node::Link(_) => return Err(io::Error::other(format!("/{path} is a link: FAT has none"))),
        }
    }
    volume.unmount()?;
    let image = disk.into_inner();
    let used = used(&image, bundle::FRAME_ALIGN)?;
    Ok(Esp { image, used })
}

/// Finds the bytes of a FAT32 volume that hold something: all before the first cluster, and clusters in use.
fn used(image: &[u8], align: u64) -> io::Result<Vec<Range<u64>>> {
    let short = |at: usize| u64::from(u16::from_le_bytes([image[at], image[at + 1]]));
    let long = |at: usize| u32::from_le_bytes([image[at], image[at + 1], image[at + 2], image[at + 3]]);
    if image.len() < 512 || short(22) != 0 {
        return Err(io::Error::other("not a FAT32 volume"));
    }
    let sector = short(11);
    let cluster = u64::from(image[13]) * sector;
    let table = short(14) * sector;
    let table_len = u64::from(long(36)) * sector;
    let first = table + u64::from(image[16]) * table_len;
    let clusters = (image.len() as u64 - first) / cluster;
    let mut ranges: Vec<Range<u64>> = Vec::new();
    let mut cover = |range: Range<u64>| {
        let range = range.start / align * align..range.end.next_multiple_of(align).min(image.len() as u64);
        match ranges.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => ranges.push(range),
        }
    };
    cover(0..first);
    for index in 0..clusters {
        // Entries 0 and 1 of the table belong to no cluster.
        let entry = long((table + (index + 2) * 4) as usize);
        if entry & 0x0fff_ffff != 0 {
            let start = first + index * cluster;
            cover(start..start + cluster);
        }
    }
    Ok(ranges)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = 80 << 20;

    fn tree() -> Tree {
        let mut tree = Tree::default();
        tree.add("EFI/BOOT/BOOTAA64.EFI", Node::text(vec![7; 100_000]), "t")
            .unwrap();
        tree.add("config.txt", Node::text("arm_64bit=1\n"), "t").unwrap();
        tree
    }

    #[test]
    fn files_read_back_and_bytes_repeat() {
        let esp = make(&tree(), SIZE).unwrap();
        assert_eq!(esp.image, make(&tree(), SIZE).unwrap().image);
        let volume = FileSystem::new(Cursor::new(esp.image), FsOptions::new()).unwrap();
        let mut data = Vec::new();
        let mut file = volume.root_dir().open_file("EFI/BOOT/BOOTAA64.EFI").unwrap();
        io::Read::read_to_end(&mut file, &mut data).unwrap();
        assert_eq!(data, vec![7; 100_000]);
    }

    #[test]
    fn what_is_not_used_may_hold_anything() {
        let esp = make(&tree(), SIZE).unwrap();
        let mut dirty = vec![0xa5; SIZE as usize];
        for range in &esp.used {
            let range = range.start as usize..range.end as usize;
            dirty[range.clone()].copy_from_slice(&esp.image[range]);
        }
        let total: u64 = esp.used.iter().map(|range| range.end - range.start).sum();
        assert!(total < 4 << 20, "{total} bytes of a nearly empty volume");
        let volume = FileSystem::new(Cursor::new(dirty), FsOptions::new()).unwrap();
        let mut text = String::new();
        io::Read::read_to_string(&mut volume.root_dir().open_file("config.txt").unwrap(), &mut text).unwrap();
        assert_eq!(text, "arm_64bit=1\n");
    }
}
