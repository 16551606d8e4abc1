//! A file or a block device.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use crate::direct::Direct;
use crate::{Flush, Medium, Source};

/// A file, a disk or a partition, open for reading and writing.
#[derive(Debug)]
pub struct FileMedium {
    file: File,
    len: u64,
}

impl FileMedium {
    /// Wraps an open file; its size is read once, and nothing is written past it.
    pub fn new(mut file: File) -> io::Result<Self> {
        let len = file.seek(SeekFrom::End(0))?;
        Ok(Self { file, len })
    }

    /// Returns the open file.
    pub fn file(&self) -> &File {
        &self.file
    }
}

impl Medium for FileMedium {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, offset)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let end = offset.checked_add(bytes.len() as u64);
        if end.is_none_or(|end| end > self.len) {
            // A plain file would grow instead of failing.
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "byte {offset} and the {} after it are beyond the end of the medium",
                    bytes.len()
                ),
            ));
        }
        self.file.write_all_at(bytes, offset)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn drop_cache(&mut self) -> io::Result<()> {
        sys::disk::drop_cache(&self.file).map_err(io::Error::other)
    }

    fn follower(&self) -> io::Result<Option<Box<dyn Source + Send>>> {
        let direct = sys::disk::reopen_direct(&self.file).map_err(io::Error::other)?;
        Ok(direct
            .and_then(Direct::new)
            .map(|direct| Box::new(direct) as Box<dyn Source + Send>))
    }

    fn flusher(&self) -> io::Result<Option<Box<dyn Flush + Send>>> {
        Ok(Some(Box::new(self.file.try_clone()?)))
    }

    fn discard(&mut self, offset: u64, len: u64) -> bool {
        sys::disk::discard(&self.file, offset, len).is_ok()
    }
}

impl Flush for File {
    fn flush(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}
