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
    for (path, node) in in_order(tree) {
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
    // Counting the free clusters also writes the count down, which checkers miss otherwise.
    volume.stats()?;
    volume.unmount()?;
    let mut image = disk.into_inner();
    repair_folders(&mut image)?;
    let used = used(&image, bundle::FRAME_ALIGN)?;
    Ok(Esp { image, used })
}

/// Orders files so that those of the root with short names come first, as all firmware has them: their entries then share
/// the first sector of the folder, and a node that renews them changes all of them by one write.
fn in_order(tree: &Tree) -> impl Iterator<Item = (&str, &Node)> {
    let is_short = |(path, node): &(&str, &Node)| {
        let (base, ending) = path.rsplit_once('.').unwrap_or((path, ""));
        matches!(node, Node::File { .. }) && base.len() <= 8 && ending.len() <= 3 && !path.contains('/')
    };
    let (short, others): (Vec<_>, Vec<_>) = tree.iter().partition(is_short);
    short.into_iter().chain(others)
}

/// The few numbers of a FAT32 boot sector that say where things are.
struct Geometry {
    cluster: usize,
    table: usize,
    first: usize,
    root: u32,
}

impl Geometry {
    fn read(image: &[u8]) -> io::Result<Geometry> {
        let short = |at: usize| usize::from(u16::from_le_bytes([image[at], image[at + 1]]));
        if image.len() < 512 || short(22) != 0 {
            return Err(io::Error::other("not a FAT32 volume"));
        }
        let sector = short(11);
        let table = short(14) * sector;
        Ok(Geometry {
            cluster: usize::from(image[13]) * sector,
            table,
            first: table + usize::from(image[16]) * word(image, 36) as usize * sector,
            root: word(image, 44),
        })
    }

    /// Returns where a cluster's bytes start; the first one is number 2.
    fn offset(&self, cluster: u32) -> usize {
        self.first + (cluster as usize - 2) * self.cluster
    }

    /// Returns the cluster's entry in the table: the next one of its chain.
    fn next(&self, image: &[u8], cluster: u32) -> u32 {
        word(image, self.table + cluster as usize * 4) & 0x0fff_ffff
    }
}

fn word(image: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([image[at], image[at + 1], image[at + 2], image[at + 3]])
}

/// Takes the long names off the entries `.` and `..`, which fatfs 0.3 writes and FAT does not allow.
fn repair_folders(image: &mut [u8]) -> io::Result<()> {
    const ENTRY: usize = 32;
    const FOLDER: u8 = 0x10;
    const LONG_NAME: u8 = 0x0f;
    let geometry = Geometry::read(image)?;
    let mut open = vec![geometry.root];
    while let Some(folder) = open.pop() {
        let start = geometry.offset(folder);
        let attributes = |slot: usize| image[start + slot * ENTRY + 11];
        if folder != geometry.root && attributes(0) == LONG_NAME && attributes(2) == LONG_NAME {
            image.copy_within(start + ENTRY..start + 2 * ENTRY, start);
            image.copy_within(start + 3 * ENTRY..start + 4 * ENTRY, start + ENTRY);
            // The parent of a folder in the root is written as 0, not as the root's cluster.
            let parent = start + ENTRY;
            let low = u16::from_le_bytes([image[parent + 26], image[parent + 27]]);
            if image[parent + 20..parent + 22] == [0, 0] && u32::from(low) == geometry.root {
                image[parent + 26..parent + 28].fill(0);
            }
            for slot in [2, 3] {
                image[start + slot * ENTRY..start + (slot + 1) * ENTRY].fill(0);
                image[start + slot * ENTRY] = 0xe5; // deleted
            }
        }
        let mut cluster = folder;
        while (2..0x0fff_fff8).contains(&cluster) {
            let start = geometry.offset(cluster);
            for entry in image[start..start + geometry.cluster].chunks_exact(ENTRY) {
                let below = u32::from(u16::from_le_bytes([entry[20], entry[21]])) << 16
                    | u32::from(u16::from_le_bytes([entry[26], entry[27]]));
                if entry[11] == FOLDER && !matches!(entry[0], 0 | 0xe5 | b'.') {
                    open.push(below);
                }
            }
            cluster = geometry.next(image, cluster);
        }
    }
    Ok(())
}

/// Finds the bytes of a FAT32 volume that hold something: all before the first cluster, and clusters in use.
fn used(image: &[u8], align: u64) -> io::Result<Vec<Range<u64>>> {
    let geometry = Geometry::read(image)?;
    let mut ranges: Vec<Range<u64>> = Vec::new();
    let mut cover = |start: usize, len: usize| {
        let end = ((start + len) as u64)
            .next_multiple_of(align)
            .min(image.len() as u64);
        let range = start as u64 / align * align..end;
        match ranges.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => ranges.push(range),
        }
    };
    cover(0, geometry.first);
    let clusters = (image.len() - geometry.first) / geometry.cluster;
    for cluster in 2..clusters as u32 + 2 {
        if geometry.next(image, cluster) != 0 {
            cover(geometry.offset(cluster), geometry.cluster);
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
    fn the_first_entries_of_a_folder_are_itself_and_its_parent() {
        let image = make(&tree(), SIZE).unwrap().image;
        let geometry = Geometry::read(&image).unwrap();
        let efi = (0..32).map(|slot| geometry.offset(geometry.root) + slot * 32);
        let efi = efi
            .into_iter()
            .find(|at| image[*at..].starts_with(b"EFI        \x10"))
            .unwrap();
        let efi = u32::from(u16::from_le_bytes([image[efi + 26], image[efi + 27]]));
        let start = geometry.offset(efi);
        assert!(image[start..].starts_with(b".          \x10"));
        assert!(image[start + 32..].starts_with(b"..         \x10"));
        // The parent of a folder in the root is written as 0.
        assert_eq!(image[start + 32 + 26..start + 32 + 28], [0, 0]);
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
