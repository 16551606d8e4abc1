//! Disk images in the format of QEMU and of clouds: qcow2, version 3, each cluster compressed with zstd.
//!
//! By [QEMU's specification](https://www.qemu.org/docs/master/interop/qcow2.html). What is empty takes no room, and the same disk
//! gives the same bytes. QEMU reads the compression since 5.1.

use std::io::{self, Read, Seek, SeekFrom, Write};

/// Bytes of a cluster, as a power of two.
const CLUSTER_BITS: u32 = 16;
const CLUSTER: usize = 1 << CLUSTER_BITS;
static EMPTY: [u8; CLUSTER] = [0; CLUSTER];
const SECTOR: u64 = 512;
/// Clusters whose places one table of the second level has.
const ENTRIES: usize = CLUSTER / 8;
/// Clusters whose references one block counts, in 16 bits each.
const COUNTED: usize = CLUSTER / 2;
/// A compressed cluster: bit 62, and how many more sectors than one it touches from bit 54 on.
const COMPRESSED: u64 = 1 << 62;
const SECTORS_SHIFT: u32 = 62 - (CLUSTER_BITS - 8);
/// The only reference to a cluster.
const COPIED: u64 = 1 << 63;
/// The incompatible feature of another compression than zlib, and the number of zstd.
const OTHER_COMPRESSION: u64 = 1 << 3;
const ZSTD: u8 = 1;
const HEADER: u32 = 112;
/// Much smaller than the fastest level makes it, and as fast to read.
const LEVEL: i32 = 12;

/// Writes a disk of `size` bytes, a multiple of 512 and not 0, as a qcow2 image to an empty file.
///
/// # Errors
///
/// When the disk cannot be read, or the file cannot be written.
pub fn write(disk: &mut impl Read, size: u64, image: &mut (impl Write + Seek)) -> io::Result<()> {
    let mut writer = Writer {
        image,
        // The first cluster is the header's.
        end: CLUSTER as u64,
        counts: vec![1],
    };
    let clusters = size.div_ceil(CLUSTER as u64);
    let mut first_level = Vec::new();
    let mut left = size;
    let mut cluster = vec![0; CLUSTER];
    for table in 0..clusters.div_ceil(ENTRIES as u64) {
        let many = (clusters - table * ENTRIES as u64).min(ENTRIES as u64);
        let mut places = Vec::new();
        for _ in 0..many {
            let len = CLUSTER.min(usize::try_from(left).unwrap_or(CLUSTER));
            disk.read_exact(&mut cluster[..len])?;
            cluster[len..].fill(0);
            left -= len as u64;
            places.push(writer.cluster(&cluster)?);
        }
        first_level.push(match places.iter().all(|place| *place == 0) {
            true => 0,
            false => writer.table(&places)? | COPIED,
        });
    }
    let first_level_at = writer.table(&first_level)?;
    let (counts_at, counts_clusters) = writer.counts()?;

    let mut header = b"QFI\xfb".to_vec();
    let numbers32 = |header: &mut Vec<u8>, numbers: &[u32]| {
        header.extend(numbers.iter().flat_map(|number| number.to_be_bytes()));
    };
    let numbers64 = |header: &mut Vec<u8>, numbers: &[u64]| {
        header.extend(numbers.iter().flat_map(|number| number.to_be_bytes()));
    };
    numbers32(&mut header, &[3]);
    // No other image behind it.
    numbers64(&mut header, &[0]);
    numbers32(&mut header, &[0, CLUSTER_BITS]);
    numbers64(&mut header, &[size]);
    // No encryption.
    numbers32(
        &mut header,
        &[0, u32::try_from(first_level.len()).map_err(io::Error::other)?],
    );
    numbers64(&mut header, &[first_level_at, counts_at]);
    // No snapshots.
    numbers32(&mut header, &[counts_clusters, 0]);
    numbers64(&mut header, &[0, OTHER_COMPRESSION, 0, 0]);
    // References are counted in 2^4 bits.
    numbers32(&mut header, &[4, HEADER]);
    header.push(ZSTD);
    // The rest of the field, and the end of the extensions.
    header.resize(HEADER as usize + 8, 0);
    writer.image.seek(SeekFrom::Start(0))?;
    writer.image.write_all(&header)?;
    writer.image.flush()
}

/// The file as it grows.
struct Writer<'a, W> {
    image: &'a mut W,
    /// The first byte that is free.
    end: u64,
    /// How often each cluster of the file is referred to.
    counts: Vec<u16>,
}

impl<W: Write + Seek> Writer<'_, W> {
    /// Stores a cluster of the disk, and returns its entry in the table: 0 for an empty one.
    fn cluster(&mut self, cluster: &[u8]) -> io::Result<u64> {
        if *cluster == EMPTY {
            return Ok(0);
        }
        let packed = zstd::bulk::compress(cluster, LEVEL)?;
        // What does not fit into the room of the original stays as it is.
        if packed.len() + SECTOR as usize > CLUSTER {
            return Ok(self.aligned(cluster)? | COPIED);
        }
        let at = self.end;
        let last = at + packed.len() as u64 - 1;
        self.put(at, &packed)?;
        self.end = last + 1;
        // Whole sectors count, also those that it shares.
        self.refer(at, (last / SECTOR + 1) * SECTOR);
        Ok(COMPRESSED | (last / SECTOR - at / SECTOR) << SECTORS_SHIFT | at)
    }

    /// Stores a table of entries, and returns where.
    fn table(&mut self, entries: &[u64]) -> io::Result<u64> {
        let mut bytes: Vec<u8> = entries.iter().flat_map(|entry| entry.to_be_bytes()).collect();
        bytes.resize(bytes.len().max(1).next_multiple_of(CLUSTER), 0);
        self.aligned(&bytes)
    }

    /// Stores whole clusters in clusters of their own, and returns where.
    fn aligned(&mut self, bytes: &[u8]) -> io::Result<u64> {
        let at = self.end.next_multiple_of(CLUSTER as u64);
        self.put(at, bytes)?;
        self.end = at + bytes.len() as u64;
        self.refer(at, self.end);
        Ok(at)
    }

    fn put(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.image.seek(SeekFrom::Start(at))?;
        self.image.write_all(bytes)
    }

    /// Counts a reference to every cluster that has a byte of `at..end`.
    fn refer(&mut self, at: u64, end: u64) {
        let [first, last] =
            [at, end - 1].map(|byte| usize::try_from(byte >> CLUSTER_BITS).unwrap_or(usize::MAX));
        self.counts.resize(self.counts.len().max(last + 1), 0);
        for count in &mut self.counts[first..=last] {
            *count += 1;
        }
    }

    /// Stores the counts of all clusters, those of the counts too; returns where their table is, and its length in clusters.
    fn counts(&mut self) -> io::Result<(u64, u32)> {
        let start = self.end.next_multiple_of(CLUSTER as u64);
        let before = usize::try_from(start >> CLUSTER_BITS).map_err(io::Error::other)?;
        let (mut blocks, mut tables) = (0_usize, 0_usize);
        // They count themselves: more of them can need another one.
        loop {
            let needed = (before + blocks + tables).div_ceil(COUNTED);
            if (needed, needed.div_ceil(ENTRIES)) == (blocks, tables) {
                break;
            }
            (blocks, tables) = (needed, needed.div_ceil(ENTRIES));
        }
        self.counts.resize(before, 0);
        self.counts.resize(before + blocks + tables, 1);
        let counts = std::mem::take(&mut self.counts);
        let mut bytes: Vec<u8> = counts.iter().flat_map(|count| count.to_be_bytes()).collect();
        bytes.resize(blocks * CLUSTER, 0);
        let places = (0..blocks).map(|block| start + (block * CLUSTER) as u64);
        let mut table: Vec<u8> = places.flat_map(u64::to_be_bytes).collect();
        table.resize(tables * CLUSTER, 0);
        let table_at = start + bytes.len() as u64;
        self.put(start, &bytes)?;
        self.put(table_at, &table)?;
        Ok((table_at, u32::try_from(tables).map_err(io::Error::other)?))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    fn image_of(disk: &[u8]) -> Vec<u8> {
        let mut image = Cursor::new(Vec::new());
        write(&mut &disk[..], disk.len() as u64, &mut image).unwrap();
        image.into_inner()
    }

    fn number(image: &[u8], at: usize, len: usize) -> u64 {
        image[at..at + len]
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    fn at(place: u64) -> usize {
        usize::try_from(place).unwrap()
    }

    /// Reads an image back by the specification, and counts its references on the way.
    fn read(image: &[u8]) -> Vec<u8> {
        assert_eq!(&image[..8], b"QFI\xfb\0\0\0\x03");
        assert_eq!(
            (number(image, 20, 4), number(image, 72, 8), image[104]),
            (16, 8, 1)
        );
        let size = at(number(image, 24, 8));
        let mut disk = vec![0; size.next_multiple_of(CLUSTER)];
        let mut counts = vec![0; image.len().div_ceil(CLUSTER)];
        let mut refer = |start: u64, len: usize| {
            for count in &mut counts[at(start) / CLUSTER..=(at(start) + len - 1) / CLUSTER] {
                *count += 1;
            }
        };
        refer(0, 1);
        let (first_level, entries) = (number(image, 40, 8), at(number(image, 36, 4)));
        refer(first_level, (entries * 8).max(1));
        for table in 0..entries {
            let place = number(image, at(first_level) + table * 8, 8);
            if place == 0 {
                continue;
            }
            assert_eq!(place & COPIED, COPIED);
            refer(place & !COPIED, CLUSTER);
            for index in 0..ENTRIES {
                let entry = number(image, at(place & !COPIED) + index * 8, 8);
                let target = (table * ENTRIES + index) * CLUSTER;
                if entry & COMPRESSED != 0 {
                    let offset = entry & ((1 << SECTORS_SHIFT) - 1);
                    let sectors = (entry & !COMPRESSED) >> SECTORS_SHIFT;
                    let end = (offset / SECTOR + sectors + 1) * SECTOR;
                    refer(offset, at(end - offset));
                    let end = at(end).min(image.len());
                    // What follows belongs to the next one.
                    let mut decoder = zstd::stream::read::Decoder::new(&image[at(offset)..end])
                        .unwrap()
                        .single_frame();
                    decoder.read_exact(&mut disk[target..target + CLUSTER]).unwrap();
                } else if entry != 0 {
                    let offset = at(entry & !COPIED);
                    refer(entry & !COPIED, CLUSTER);
                    disk[target..target + CLUSTER].copy_from_slice(&image[offset..offset + CLUSTER]);
                }
            }
        }
        let (table, clusters) = (number(image, 48, 8), at(number(image, 56, 4)));
        refer(table, clusters * CLUSTER);
        let mut counted = Vec::new();
        for index in 0..clusters * ENTRIES {
            let block = number(image, at(table) + index * 8, 8);
            if block != 0 {
                refer(block, CLUSTER);
                counted.extend((0..COUNTED).map(|index| number(image, at(block) + index * 2, 2)));
            }
        }
        counts.resize(counted.len(), 0);
        assert_eq!(counts, counted, "every reference is counted once");
        disk.truncate(size);
        disk
    }

    /// What no compression makes smaller, the same each time.
    fn noise(len: usize) -> Vec<u8> {
        let mut state = 88_172_645_463_325_252_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_be_bytes()
        };
        (0..len.div_ceil(8)).flat_map(|_| next()).take(len).collect()
    }

    fn disks() -> Vec<Vec<u8>> {
        let text = b"much the same ".repeat(20_000);
        vec![
            vec![0; 512],
            vec![1; 512],
            vec![0; 3 * CLUSTER],
            noise(3 * CLUSTER + 512),
            [
                text[..CLUSTER].to_vec(),
                noise(CLUSTER),
                vec![0; CLUSTER],
                text[..200 * 512].to_vec(),
            ]
            .concat(),
            // More than one table.
            [text[..CLUSTER].to_vec(), vec![0; ENTRIES * CLUSTER], noise(512)].concat(),
        ]
    }

    #[test]
    fn a_disk_is_the_same_after_it() {
        for disk in disks() {
            let image = image_of(&disk);
            assert!(read(&image) == disk, "a disk of {} bytes differs", disk.len());
            assert!(image == image_of(&disk), "the same bytes again");
        }
        let text = image_of(&b"much the same ".repeat(20 * CLUSTER / 14));
        assert!(text.len() < 8 * CLUSTER, "{}: text gets smaller", text.len());
    }

    /// QEMU's own tool is the judge, where it is.
    #[test]
    fn qemu_reads_the_same_disk_and_finds_no_fault() {
        let run = |arguments: &[&str]| std::process::Command::new("qemu-img").args(arguments).output();
        if run(&["--version"]).is_err() {
            eprintln!("skipped: qemu-img is not there (package qemu-utils)");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let (raw, qcow2) = (path("disk.img"), path("disk.qcow2"));
        for disk in disks() {
            std::fs::write(&raw, &disk).unwrap();
            std::fs::write(&qcow2, image_of(&disk)).unwrap();
            for arguments in [
                &["check", "-f", "qcow2", &qcow2][..],
                &["compare", "-f", "raw", "-F", "qcow2", &raw, &qcow2],
            ] {
                let done = run(arguments).unwrap();
                let said = [done.stdout, done.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
                assert!(
                    done.status.success(),
                    "{} bytes: {arguments:?}: {said:?}",
                    disk.len()
                );
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn any_disk_is_the_same_after_it(pieces in proptest::collection::vec((0..3_u8, 1..300_usize), 0..8)) {
            let noise = noise(300 * 512);
            let disk: Vec<u8> = pieces
                .iter()
                .flat_map(|(kind, sectors)| match kind {
                    0 => vec![0; sectors * 512],
                    1 => vec![7; sectors * 512],
                    _ => noise[..sectors * 512].to_vec(),
                })
                .collect();
            prop_assert!(read(&image_of(&disk)) == disk);
        }
    }
}
