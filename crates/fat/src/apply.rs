//! Replaces, adds and removes files, in the one order that no power cut can harm.

use crate::Error;
use crate::boot_sector::Geometry;
use crate::directory::DELETED;
use crate::name::{self, ENTRY};
use crate::table::{END, SECTOR, Table};
use crate::volume::{File, Tree, Volume};

/// Bytes that are written at a time.
const CHUNK: usize = 64 << 10;
/// The signatures of the sector that counts free clusters, with their offsets, and where it counts.
const INFO: [(usize, u32); 2] = [(0, 0x4161_5252), (484, 0x6141_7272)];
const INFO_FREE: usize = 488;

/// A file that is to be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change<'a> {
    /// The file has these bytes; it is made, with its folders, if it is not there.
    Put {
        /// Its path, without leading slash.
        path: &'a str,
        /// Its bytes.
        data: &'a [u8],
    },
    /// The file is not there.
    Remove {
        /// Its path, without leading slash.
        path: &'a str,
    },
}

impl Change<'_> {
    /// Returns the file's path.
    pub fn path(&self) -> &str {
        match self {
            Change::Put { path, .. } | Change::Remove { path } => path,
        }
    }
}

/// Clusters that are in use, or are going to be.
pub(crate) struct Taken(pub Vec<bool>);

impl Taken {
    /// Takes clusters that nothing uses. What a power cut left behind is among them.
    pub(crate) fn take(&mut self, count: usize, table: &Table) -> Result<Vec<u32>, Error> {
        let usable =
            |number: &usize| !self.0[*number] && table.is_usable(u32::try_from(*number).unwrap_or(0));
        let free: Vec<usize> = (2..self.0.len()).filter(usable).take(count).collect();
        if free.len() < count {
            let free = free.len();
            return Err(Error::Full { need: count, free });
        }
        for number in &free {
            self.0[*number] = true;
        }
        Ok(free
            .into_iter()
            .filter_map(|number| u32::try_from(number).ok())
            .collect())
    }
}

/// A step that changes what firmware finds. Each is one write of one sector.
enum Step<'a> {
    /// Entries that are there already, all in this sector: each with the change of it, by number.
    Sector(u64, Vec<(usize, &'a File)>),
    /// A file that is new.
    New(usize),
}

impl Volume<'_> {
    /// Makes the changes. A power cut at any moment leaves each file as it was or as it is to be, and the last of the changes
    /// is made last. Files that are there already and whose entries share a sector change together.
    ///
    /// Interrupted, it is completed by being called again.
    ///
    /// # Errors
    /// Nothing is changed when the paths are impossible, the new files do not fit beside the old ones, or the medium does not
    /// hold what was written. What else the medium refuses leaves files old or new.
    pub fn apply(&mut self, changes: &[Change<'_>]) -> Result<(), Error> {
        for change in changes {
            check_path(change.path())?;
        }
        let tree = self.walk()?;
        for change in changes {
            check_place(&tree, change.path())?;
        }
        let mut taken = Taken(tree.reached.clone());
        let chains = self.write_data(changes, &mut taken)?;
        for step in steps(self, &tree, changes) {
            match step {
                Step::Sector(at, entries) => self.switch(&tree, at, &entries, changes, &chains)?,
                Step::New(number) => {
                    if let Change::Put { path, data } = changes[number] {
                        let first = chains[number].first().copied().unwrap_or(0);
                        self.create(path, first, length(path, data)?, &mut taken)?;
                    }
                }
            }
        }
        self.tidy()
    }

    /// Writes the new bytes to clusters that nothing uses, and reads them back from the medium.
    fn write_data(&mut self, changes: &[Change<'_>], taken: &mut Taken) -> Result<Vec<Vec<u32>>, Error> {
        let mut chains = vec![Vec::new(); changes.len()];
        for (change, chain) in changes.iter().zip(&mut chains) {
            let Change::Put { path, data } = *change else {
                continue;
            };
            length(path, data)?;
            *chain = taken.take(self.geometry.clusters_of(data.len() as u64), &self.table)?;
            self.link(chain);
            for (start, piece) in pieces(&self.geometry, chain, data) {
                let mut piece = piece.to_vec();
                // To the end of the cluster, so that nothing of an older file is left behind it.
                piece.resize(piece.len().next_multiple_of(self.geometry.cluster as usize), 0);
                self.medium.write_at(start, &piece).map_err(Error::write)?;
            }
        }
        self.table.write(self.medium, &self.geometry)?;
        self.sync()?;
        self.medium.drop_cache().map_err(Error::read)?;
        let table = Table::read(self.medium, &self.geometry)?;
        for (change, chain) in changes.iter().zip(&chains) {
            let Change::Put { path, data } = *change else {
                continue;
            };
            let mut same = chain.is_empty()
                || table.chain(&self.geometry, chain[0], chain.len()) == (chain.clone(), None);
            for (start, piece) in pieces(&self.geometry, chain, data) {
                let mut found = vec![0; piece.len()];
                self.medium.read_at(start, &mut found).map_err(Error::read)?;
                same &= found == piece;
            }
            if !same {
                let path = path.to_owned();
                return Err(Error::ReadBack { path });
            }
        }
        Ok(chains)
    }

    /// Makes a chain of clusters, in memory.
    pub(crate) fn link(&mut self, chain: &[u32]) {
        for (number, cluster) in chain.iter().enumerate() {
            self.table
                .set(*cluster, chain.get(number + 1).copied().unwrap_or(END));
        }
    }

    /// Changes entries of one sector, by one write.
    fn switch(
        &mut self,
        tree: &Tree,
        at: u64,
        entries: &[(usize, &File)],
        changes: &[Change<'_>],
        chains: &[Vec<u32>],
    ) -> Result<(), Error> {
        let mut sector = vec![0; SECTOR];
        self.medium.read_at(at, &mut sector).map_err(Error::read)?;
        let mut left_over = Vec::new();
        for (number, file) in entries {
            let folder = &tree.folders[file.at.folder];
            let own = (self.entry_at(folder, file.at.slot) - at) as usize;
            let entry = &mut sector[own..own + ENTRY];
            match changes[*number] {
                Change::Put { path, data } => {
                    let first = chains[*number].first().copied().unwrap_or(0);
                    name::place(entry, first, length(path, data)?);
                }
                Change::Remove { .. } => {
                    entry[0] = DELETED;
                    let before = file.at.slot - file.at.long..file.at.slot;
                    left_over.extend(before.map(|slot| self.entry_at(folder, slot)));
                }
            }
        }
        left_over.retain(|entry| {
            let here = entry.checked_sub(at).filter(|offset| *offset < SECTOR as u64);
            if let Some(offset) = here {
                sector[offset as usize] = DELETED;
            }
            here.is_none()
        });
        self.medium.write_at(at, &sector).map_err(Error::write)?;
        self.sync()?;
        // A long name without its short one is no file: it may go later.
        for entry in left_over {
            self.medium.write_at(entry, &[DELETED]).map_err(Error::write)?;
        }
        Ok(())
    }

    /// Frees what nothing uses, makes the copies of the table the same, and counts what is free.
    fn tidy(&mut self) -> Result<(), Error> {
        let tree = self.walk()?;
        let mut free: u32 = 0;
        for (number, reached) in tree.reached.iter().enumerate().skip(2) {
            let cluster = u32::try_from(number).unwrap_or(u32::MAX);
            if *reached || !self.table.is_usable(cluster) {
                continue;
            }
            free += 1;
            if self.table.get(cluster) != 0 {
                self.table.set(cluster, 0);
            }
        }
        self.table.compare_copies(self.medium, &self.geometry)?;
        self.table.write(self.medium, &self.geometry)?;
        if let Some(at) = self.geometry.info {
            let mut sector = vec![0; SECTOR];
            self.medium.read_at(at, &mut sector).map_err(Error::read)?;
            let is_info = INFO
                .iter()
                .all(|(at, signature)| sector[*at..].starts_with(&signature.to_le_bytes()));
            let count = &mut sector[INFO_FREE..INFO_FREE + 4];
            if is_info && *count != free.to_le_bytes() {
                count.copy_from_slice(&free.to_le_bytes());
                self.medium.write_at(at, &sector).map_err(Error::write)?;
            }
        }
        self.sync()
    }

    pub(crate) fn sync(&mut self) -> Result<(), Error> {
        self.medium.sync().map_err(Error::write)
    }
}

/// Orders what firmware will see: by the last change that a sector has, so that the last change of all is made last.
fn steps<'a>(volume: &Volume<'_>, tree: &'a Tree, changes: &[Change<'_>]) -> Vec<Step<'a>> {
    let mut steps: Vec<(usize, Step<'a>)> = Vec::new();
    for (number, change) in changes.iter().enumerate() {
        let same = |file: &&File| file.path.eq_ignore_ascii_case(change.path());
        let Some(file) = tree.files.iter().find(same) else {
            if matches!(change, Change::Put { .. }) {
                steps.push((number, Step::New(number)));
            }
            continue;
        };
        let entry = volume.entry_at(&tree.folders[file.at.folder], file.at.slot);
        let sector = entry / SECTOR as u64 * SECTOR as u64;
        let known = steps
            .iter_mut()
            .find(|(_, step)| matches!(step, Step::Sector(at, _) if *at == sector));
        match known {
            Some((last, Step::Sector(_, entries))) => {
                *last = number;
                entries.push((number, file));
            }
            _ => steps.push((number, Step::Sector(sector, vec![(number, file)]))),
        }
    }
    steps.sort_by_key(|(last, _)| *last);
    steps.into_iter().map(|(_, step)| step).collect()
}

/// Cuts the bytes of a file by where they lie on the medium.
fn pieces<'d>(geometry: &Geometry, chain: &[u32], data: &'d [u8]) -> Vec<(u64, &'d [u8])> {
    let most = (CHUNK / geometry.cluster as usize).max(1);
    let mut pieces = Vec::new();
    let mut rest = data;
    for run in chain.chunk_by(|one, next| next.wrapping_sub(*one) == 1) {
        for run in run.chunks(most) {
            let (piece, after) = rest.split_at(rest.len().min(run.len() * geometry.cluster as usize));
            pieces.push((geometry.offset(run[0]), piece));
            rest = after;
        }
    }
    pieces
}

fn length(path: &str, data: &[u8]) -> Result<u32, Error> {
    u32::try_from(data.len()).map_err(|_| Error::Path {
        path: path.to_owned(),
        why: "it is larger than FAT allows",
    })
}

/// Checks that no file has the name of a folder above this one, and no folder its own.
fn check_place(tree: &Tree, path: &str) -> Result<(), Error> {
    let above = path.match_indices('/').map(|(end, _)| &path[..end]);
    let is_file = |name: &str| tree.files.iter().any(|file| file.path.eq_ignore_ascii_case(name));
    let is_folder = tree
        .folders
        .iter()
        .any(|folder| folder.path.eq_ignore_ascii_case(path));
    if above.into_iter().any(is_file) || is_folder {
        return Err(Error::Path {
            path: path.to_owned(),
            why: "something else has its name, or that of a folder above it",
        });
    }
    Ok(())
}

fn check_path(path: &str) -> Result<(), Error> {
    let wrong = |why| {
        Err(Error::Path {
            path: path.to_owned(),
            why,
        })
    };
    for name in path.split('/') {
        if name.is_empty() || name.ends_with(['.', ' ']) {
            return wrong("a name is empty, or ends with a dot or space");
        }
        if name.len() > name::LONGEST {
            return wrong("a name is too long");
        }
        if !name
            .bytes()
            .all(|byte| (b' '..0x7f).contains(&byte) && !b"\\:*?\"<>|".contains(&byte))
        {
            return wrong("a name has a character that FAT does not allow");
        }
    }
    Ok(())
}
