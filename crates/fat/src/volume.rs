//! A volume, and what is on it.

use medium::Medium;

use crate::Error;
use crate::boot_sector::{self, Geometry};
use crate::directory::{self, Item};
use crate::name::ENTRY;
use crate::table::Table;

/// The most files and folders: what starts a machine has a few dozen.
const MOST: usize = 8192;
/// How deep folders may be.
const DEEPEST: usize = 12;
/// The most bytes of one folder's entries: FAT's own limit.
const LONGEST_FOLDER: u64 = 2 << 20;
/// Bytes that are read at a time.
const CHUNK: u64 = 64 << 10;

/// An open FAT32 volume.
pub struct Volume<'m> {
    pub(crate) medium: &'m mut dyn Medium,
    pub(crate) geometry: Geometry,
    pub(crate) table: Table,
}

/// A file of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its path, without leading slash. Characters that would spoil a console are shown as `?`.
    pub path: String,
    /// Its length in bytes.
    pub size: u64,
    /// What is wrong with where its bytes are; it cannot be read then.
    pub damage: Option<&'static str>,
    pub(crate) clusters: Vec<u32>,
    pub(crate) at: Place,
}

/// Where the entry of a file or folder is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The number of its folder in [`Tree::folders`].
    pub folder: usize,
    /// Its entry there.
    pub slot: usize,
    /// Entries of its long name before it.
    pub long: usize,
}

/// A folder of a volume.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    /// Its path; empty for the root.
    pub path: String,
    pub clusters: Vec<u32>,
    /// The short names in it.
    pub shorts: Vec<[u8; 11]>,
}

/// Everything on a volume.
pub(crate) struct Tree {
    pub files: Vec<File>,
    pub folders: Vec<Folder>,
    /// Which clusters are part of something, by their number.
    pub reached: Vec<bool>,
}

impl<'m> Volume<'m> {
    /// Opens the volume on a medium.
    ///
    /// # Errors
    /// [`Error::NotFat32`] when there is none, [`Error::Io`] when it cannot be read.
    pub fn open(medium: &'m mut dyn Medium) -> Result<Volume<'m>, Error> {
        let mut sector = [0; boot_sector::LEN];
        medium.read_at(0, &mut sector).map_err(Error::read)?;
        let geometry = Geometry::parse(&sector, medium.len())?;
        let table = Table::read(medium, &geometry)?;
        Ok(Volume {
            medium,
            geometry,
            table,
        })
    }

    /// Lists the files of all folders.
    ///
    /// # Errors
    /// A folder that cannot be followed, or more files than anything that starts a machine has.
    pub fn files(&mut self) -> Result<Vec<File>, Error> {
        Ok(self.walk()?.files)
    }

    /// Reads a file from start to end, piece by piece.
    ///
    /// # Errors
    /// What is damaged, and what the medium does not read.
    pub fn read(&mut self, file: &File, mut piece: impl FnMut(&[u8])) -> Result<(), Error> {
        if let Some(what) = file.damage {
            let path = file.path.clone();
            return Err(Error::Damaged { path, what });
        }
        let mut left = file.size;
        let most = usize::try_from(CHUNK.max(self.geometry.cluster) / self.geometry.cluster).unwrap_or(1);
        let mut buffer = Vec::new();
        for run in file.clusters.chunk_by(|one, next| next.wrapping_sub(*one) == 1) {
            for run in run.chunks(most) {
                let len = left.min(run.len() as u64 * self.geometry.cluster);
                buffer.resize(usize::try_from(len).unwrap_or(0), 0);
                let start = self.geometry.offset(run[0]);
                self.medium.read_at(start, &mut buffer).map_err(Error::read)?;
                piece(&buffer);
                left -= len;
            }
        }
        Ok(())
    }

    /// Follows every folder from the root on.
    pub(crate) fn walk(&mut self) -> Result<Tree, Error> {
        let mut tree = Tree {
            files: Vec::new(),
            folders: Vec::new(),
            reached: vec![false; self.geometry.clusters as usize + 2],
        };
        self.enter(&mut tree, String::new(), self.geometry.root)?;
        let mut number = 0;
        while number < tree.folders.len() {
            let folder = tree.folders[number].clone();
            let bytes = self.bytes_of(&folder.clusters)?;
            for item in directory::items(&bytes) {
                tree.folders[number].shorts.push(item.short);
                self.add(&mut tree, &folder.path, number, item)?;
                if tree.files.len() + tree.folders.len() > MOST {
                    return Err(Error::TooMany(MOST));
                }
            }
            number += 1;
        }
        Ok(tree)
    }

    fn add(&self, tree: &mut Tree, above: &str, folder: usize, item: Item) -> Result<(), Error> {
        let name: String = item.name.chars().map(printable).collect();
        let path = if above.is_empty() {
            name
        } else {
            format!("{above}/{name}")
        };
        if item.folder {
            return self.enter(tree, path, item.first);
        }
        let need = self.geometry.clusters_of(u64::from(item.size));
        let (clusters, mut damage) = match item.first {
            0 => (Vec::new(), None),
            first => self.table.chain(&self.geometry, first, need.max(1)),
        };
        for cluster in &clusters {
            tree.reached[*cluster as usize] = true;
        }
        if damage.is_none() && clusters.len() < need {
            damage = Some("a chain is too short");
        }
        tree.files.push(File {
            path,
            size: u64::from(item.size),
            damage,
            clusters,
            at: Place {
                folder,
                slot: item.slot,
                long: item.long,
            },
        });
        Ok(())
    }

    /// Adds a folder that is to be followed.
    fn enter(&self, tree: &mut Tree, path: String, first: u32) -> Result<(), Error> {
        let most = usize::try_from(LONGEST_FOLDER / self.geometry.cluster)
            .unwrap_or(1)
            .max(1);
        let (clusters, damage) = self.table.chain(&self.geometry, first, most);
        if let Some(what) = damage {
            return Err(Error::Damaged { path, what });
        }
        if clusters.iter().any(|cluster| tree.reached[*cluster as usize]) {
            let what = "a folder is shared with another";
            return Err(Error::Damaged { path, what });
        }
        if path.matches('/').count() >= DEEPEST {
            let what = "a folder is too deep";
            return Err(Error::Damaged { path, what });
        }
        for cluster in &clusters {
            tree.reached[*cluster as usize] = true;
        }
        tree.folders.push(Folder {
            path,
            clusters,
            shorts: Vec::new(),
        });
        Ok(())
    }

    /// Reads whole clusters.
    pub(crate) fn bytes_of(&mut self, clusters: &[u32]) -> Result<Vec<u8>, Error> {
        let len = usize::try_from(self.geometry.cluster).unwrap_or(0);
        let mut bytes = vec![0; clusters.len() * len];
        for (cluster, piece) in clusters.iter().zip(bytes.chunks_mut(len)) {
            let start = self.geometry.offset(*cluster);
            self.medium.read_at(start, piece).map_err(Error::read)?;
        }
        Ok(bytes)
    }

    /// Returns where an entry of a folder is on the medium.
    pub(crate) fn entry_at(&self, folder: &Folder, slot: usize) -> u64 {
        let per_cluster = usize::try_from(self.geometry.cluster).unwrap_or(ENTRY) / ENTRY;
        let cluster = folder.clusters[slot / per_cluster];
        self.geometry.offset(cluster) + (slot % per_cluster * ENTRY) as u64
    }
}

fn printable(char: char) -> char {
    if char.is_control() || char == '/' {
        '?'
    } else {
        char
    }
}
