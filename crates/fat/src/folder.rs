//! Makes room in folders, new folders, and new entries.

use crate::Error;
use crate::apply::Taken;
use crate::directory::{self, FOLDER};
use crate::name::{self, ENTRY};
use crate::table::{END, SECTOR};
use crate::volume::{Folder, Tree, Volume};

/// What a new file is: one that was changed since the last backup, as FAT calls it.
const ARCHIVE: u8 = 0x20;

impl Volume<'_> {
    /// Adds an entry for a file whose bytes are there, with the folders above it. It appears by one write.
    pub(crate) fn create(
        &mut self,
        path: &str,
        first: u32,
        size: u32,
        taken: &mut Taken,
    ) -> Result<(), Error> {
        let (above, own) = path.rsplit_once('/').unwrap_or(("", path));
        let mut parent = String::new();
        for name in above.split('/').filter(|name| !name.is_empty()) {
            let child = if parent.is_empty() {
                name.to_owned()
            } else {
                format!("{parent}/{name}")
            };
            if find(&self.walk()?, &child).is_none() {
                self.create_folder(&parent, name, taken)?;
            }
            parent = child;
        }
        self.add_entry(&parent, own, ARCHIVE, first, size, taken)
    }

    fn create_folder(&mut self, parent: &str, name: &str, taken: &mut Taken) -> Result<(), Error> {
        let cluster = taken.take(1, &self.table)?[0];
        self.table.set(cluster, END);
        let above = match parent {
            // Of a folder in the root, the parent is 0.
            "" => 0,
            path => {
                let tree = self.walk()?;
                find(&tree, path).map_or(0, |folder| folder.clusters[0])
            }
        };
        let mut bytes = directory::unused(self.geometry.cluster as usize);
        for (slot, (dots, first)) in [(".", cluster), ("..", above)].into_iter().enumerate() {
            let mut short = [b' '; 11];
            short[..dots.len()].copy_from_slice(dots.as_bytes());
            let entry = name::entries("", &short, FOLDER, first, 0);
            bytes[slot * ENTRY..(slot + 1) * ENTRY].copy_from_slice(&entry[0]);
        }
        let at = self.geometry.offset(cluster);
        self.medium.write_at(at, &bytes).map_err(Error::write)?;
        self.table.write(self.medium, &self.geometry)?;
        self.sync()?;
        self.add_entry(parent, name, FOLDER, cluster, 0, taken)
    }

    /// Adds an entry to a folder, by one write of one sector.
    fn add_entry(
        &mut self,
        parent: &str,
        name: &str,
        attributes: u8,
        first: u32,
        size: u32,
        taken: &mut Taken,
    ) -> Result<(), Error> {
        let path = || format!("{parent}/{name}").trim_start_matches('/').to_owned();
        let refused = |why| Error::Path { path: path(), why };
        let count = 1 + name.len().div_ceil(13);
        // Each round makes room: first of what is behind the end of the list, then of a new cluster.
        for _ in 0..3 {
            let tree = self.walk()?;
            let in_the_way = tree.files.iter().map(|file| &file.path);
            let in_the_way = in_the_way.chain(tree.folders.iter().map(|folder| &folder.path));
            if in_the_way
                .into_iter()
                .any(|other| other.eq_ignore_ascii_case(&path()))
            {
                return Err(refused("something else has its name"));
            }
            let folder =
                find(&tree, parent).ok_or_else(|| refused("something else has the name of its folder"))?;
            let bytes = self.bytes_of(&folder.clusters)?;
            let Some(slot) = directory::room(&bytes, count, SECTOR) else {
                let folder = folder.clone();
                match directory::end(&bytes) {
                    Some(end) => self.use_up(&folder, &bytes, end)?,
                    None => self.extend(&folder, taken)?,
                }
                continue;
            };
            let short = name::short(name, &folder.shorts)
                .ok_or_else(|| refused("there is no short name left for it"))?;
            let entries = name::entries(name, &short, attributes, first, size).concat();
            let at = self.entry_at(folder, slot);
            let start = at / SECTOR as u64 * SECTOR as u64;
            let mut sector = vec![0; SECTOR];
            self.medium.read_at(start, &mut sector).map_err(Error::read)?;
            let inside = (at - start) as usize;
            sector[inside..inside + entries.len()].copy_from_slice(&entries);
            self.medium.write_at(start, &sector).map_err(Error::write)?;
            return self.sync();
        }
        Err(refused("there is no room in its folder"))
    }

    /// Turns what is behind the end of a folder's list into free entries: first what nobody reads yet, then the end itself.
    fn use_up(&mut self, folder: &Folder, bytes: &[u8], end: usize) -> Result<(), Error> {
        let per_sector = SECTOR / ENTRY;
        let last = end / per_sector;
        for number in last + 1..bytes.len() / SECTOR {
            let at = self.entry_at(folder, number * per_sector);
            self.medium
                .write_at(at, &directory::unused(SECTOR))
                .map_err(Error::write)?;
        }
        self.sync()?;
        let mut sector = bytes[last * SECTOR..(last + 1) * SECTOR].to_vec();
        let inside = end % per_sector * ENTRY;
        sector[inside..].copy_from_slice(&directory::unused(SECTOR - inside));
        let at = self.entry_at(folder, last * per_sector);
        self.medium.write_at(at, &sector).map_err(Error::write)?;
        self.sync()
    }

    /// Adds a cluster of free entries to a folder.
    fn extend(&mut self, folder: &Folder, taken: &mut Taken) -> Result<(), Error> {
        let cluster = taken.take(1, &self.table)?[0];
        let bytes = directory::unused(self.geometry.cluster as usize);
        let at = self.geometry.offset(cluster);
        self.medium.write_at(at, &bytes).map_err(Error::write)?;
        self.table.set(cluster, END);
        self.table.write(self.medium, &self.geometry)?;
        self.sync()?;
        if let Some(last) = folder.clusters.last() {
            self.table.set(*last, cluster);
        }
        self.table.write(self.medium, &self.geometry)?;
        self.sync()
    }
}

fn find<'t>(tree: &'t Tree, path: &str) -> Option<&'t Folder> {
    tree.folders
        .iter()
        .find(|folder| folder.path.eq_ignore_ascii_case(path))
}
