//! A medium in memory.

use std::io;

use medium::Medium;

/// A medium in memory without faults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ram(pub Vec<u8>);

impl Ram {
    fn piece(&mut self, offset: u64, len: usize) -> io::Result<&mut [u8]> {
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let end = start.checked_add(len).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.0.get_mut(start..end).ok_or(io::ErrorKind::UnexpectedEof)?)
    }
}

impl Medium for Ram {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        out.copy_from_slice(self.piece(offset, out.len())?);
        Ok(())
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.piece(offset, bytes.len())?.copy_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn drop_cache(&mut self) -> io::Result<()> {
        Ok(())
    }
}
