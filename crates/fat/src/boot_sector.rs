//! The boot sector of a FAT32 volume: where everything else is.

use crate::Error;

/// The length of the boot sector that is read.
pub(crate) const LEN: usize = 512;
/// The most clusters: their table is then 16 MiB. An ESP of 128 MiB has 131,072.
const MOST_CLUSTERS: u64 = 4 << 20;

/// Where the parts of a volume are, in bytes from its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Geometry {
    /// Bytes in a cluster.
    pub cluster: u64,
    /// Where each copy of the table starts; the first one is the one that counts.
    pub tables: Vec<u64>,
    /// Where cluster 2 is, the first one.
    pub data: u64,
    /// The number of clusters.
    pub clusters: u32,
    /// The first cluster of the root folder.
    pub root: u32,
    /// The sector that counts free clusters, if there is one.
    pub info: Option<u64>,
}

impl Geometry {
    /// Reads the boot sector of a volume of `len` bytes.
    pub(crate) fn parse(sector: &[u8; LEN], len: u64) -> Result<Geometry, Error> {
        let byte = |at: usize| u64::from(sector[at]);
        let short = |at: usize| byte(at) | byte(at + 1) << 8;
        let long = |at: usize| short(at) | short(at + 2) << 16;
        let wrong = |what| Err(Error::NotFat32(what));
        if sector[510..] != [0x55, 0xaa] {
            return wrong("it has no boot sector");
        }
        let (unit, per_cluster, count) = (short(11), byte(13), byte(16));
        if !matches!(unit, 512 | 1024 | 2048 | 4096) || !per_cluster.is_power_of_two() {
            return wrong("its boot sector is damaged");
        }
        let (reserved, table_sectors) = (short(14), long(36));
        // A small volume is counted in two bytes.
        let sectors = if short(19) == 0 { long(32) } else { short(19) };
        // What FAT12 and FAT16 count here is elsewhere in FAT32.
        if short(17) != 0 || short(22) != 0 || table_sectors == 0 {
            return wrong("it is another kind of FAT");
        }
        if reserved == 0 || !(1..=2).contains(&count) || sectors * unit > len {
            return wrong("its boot sector is damaged");
        }
        let table = reserved * unit;
        let data = table + count * table_sectors * unit;
        let cluster = per_cluster * unit;
        let clusters = (sectors * unit).saturating_sub(data) / cluster;
        if clusters == 0 || clusters > MOST_CLUSTERS || (clusters + 2) * 4 > table_sectors * unit {
            return wrong("its table and its size do not fit together");
        }
        let root = long(44);
        if root < 2 || root >= clusters + 2 {
            return wrong("its root folder is outside");
        }
        let mut tables: Vec<u64> = (0..count)
            .map(|copy| table + copy * table_sectors * unit)
            .collect();
        let flags = short(40);
        if flags & 0x80 != 0 {
            // Only one copy is kept.
            match tables.get(usize::try_from(flags & 0x0f).unwrap_or(usize::MAX)) {
                Some(active) => tables = vec![*active],
                None => return wrong("its table in use is not there"),
            }
        }
        let info = short(48);
        Ok(Geometry {
            cluster,
            tables,
            data,
            clusters: u32::try_from(clusters).expect("limited above"),
            root: u32::try_from(root).expect("less than the number of clusters"),
            info: (1..reserved).contains(&info).then_some(info * unit),
        })
    }

    /// Returns true for the number of a cluster of this volume.
    pub(crate) fn has(&self, cluster: u32) -> bool {
        cluster >= 2 && cluster - 2 < self.clusters
    }

    /// Returns where a cluster of this volume is.
    pub(crate) fn offset(&self, cluster: u32) -> u64 {
        self.data + u64::from(cluster.saturating_sub(2)) * self.cluster
    }

    /// Returns how many clusters so many bytes take.
    pub(crate) fn clusters_of(&self, bytes: u64) -> usize {
        usize::try_from(bytes.div_ceil(self.cluster)).unwrap_or(usize::MAX)
    }
}
