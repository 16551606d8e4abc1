//! A partition of an open disk.

use std::io;

use layout::Extent;
use medium::{FileMedium, Medium};

/// A partition of a disk that is open as a whole. Nothing outside of it is read or written.
pub(super) struct Part {
    disk: FileMedium,
    extent: Extent,
}

impl Part {
    /// Opens a partition; several of one disk can be open at once.
    pub fn of(disk: &FileMedium, extent: Extent) -> io::Result<Self> {
        let disk = FileMedium::new(disk.file().try_clone()?)?;
        if extent.end() > disk.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Self { disk, extent })
    }

    fn at(&self, offset: u64, len: usize) -> io::Result<u64> {
        let end = offset.checked_add(len as u64);
        match end.filter(|end| *end <= self.extent.len) {
            Some(_) => Ok(self.extent.start + offset),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

impl Medium for Part {
    fn len(&self) -> u64 {
        self.extent.len
    }

    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let at = self.at(offset, out.len())?;
        self.disk.read_at(at, out)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let at = self.at(offset, bytes.len())?;
        self.disk.write_at(at, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.sync()
    }

    fn drop_cache(&mut self) -> io::Result<()> {
        self.disk.drop_cache()
    }
}
