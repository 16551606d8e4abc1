//! The key chain in the BOOTSTATE partition.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use manifest::chain::{self, AREA, Link, Loaded, OFFSETS};
use medium::{FileMedium, Medium, read_copies};

/// The partition, or a file in a test.
#[derive(Debug, Clone)]
pub struct ChainFile {
    device: PathBuf,
}

impl ChainFile {
    /// Wraps the partition; nothing is read yet.
    pub fn new(device: impl Into<PathBuf>) -> Self {
        ChainFile {
            device: device.into(),
        }
    }

    /// Reads both copies.
    pub fn read(&self) -> io::Result<Loaded> {
        read(&mut FileMedium::new(File::open(&self.device)?)?)
    }

    /// Writes a changed chain over the older copy, waits until it is on the medium, and reads it back past the cache.
    pub fn write(&self, before: &Loaded, links: &[Link]) -> io::Result<()> {
        let file = File::options().read(true).write(true).open(&self.device)?;
        write(&mut FileMedium::new(file)?, before, links)
    }
}

/// Reads both copies from a BOOTSTATE partition. One that cannot be read counts as damaged.
pub(super) fn read(bootstate: &mut dyn Medium) -> io::Result<Loaded> {
    let mut copies = [vec![0; AREA], vec![0; AREA]];
    read_copies(bootstate, &mut copies, OFFSETS)?;
    Ok(chain::load([&copies[0], &copies[1]]))
}

/// Writes a changed chain to a BOOTSTATE partition.
pub(super) fn write(bootstate: &mut dyn Medium, before: &Loaded, links: &[Link]) -> io::Result<()> {
    let bytes = chain::encode(before.generation.wrapping_add(1), links).map_err(io::Error::other)?;
    bootstate.write_at(OFFSETS[before.write_to], &bytes)?;
    bootstate.sync()?;
    bootstate.drop_cache()?;
    if read(bootstate)?.links == links {
        return Ok(());
    }
    Err(io::Error::other(
        "the key chain reads back differently from what was written: the medium fails",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_go_to_the_older_copy_and_read_back() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1024 * 1024).unwrap();
        let on_disk = ChainFile::new(file.path());
        let link = |text: &str| Link {
            json: text.into(),
            signatures: text.into(),
        };
        let mut links = Vec::new();
        for text in ["one", "two", "three"] {
            links.push(link(text));
            let before = on_disk.read().unwrap();
            on_disk.write(&before, &links).unwrap();
            let after = on_disk.read().unwrap();
            assert_eq!(
                (after.links.len(), after.write_to),
                (links.len(), 1 - before.write_to)
            );
        }
        assert!(
            on_disk
                .write(&on_disk.read().unwrap(), &vec![link("x"); 17])
                .is_err()
        );
        assert_eq!(on_disk.read().unwrap().links, links);
    }
}
