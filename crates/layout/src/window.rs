//! A stand-in for a medium of which only the two ends matter.

use std::io::{self, Read, Seek, SeekFrom, Write};

use crate::{SECTOR, TABLE_HEAD, TABLE_TAIL};

/// Takes what a partition table writer writes, and keeps it as bytes.
///
/// With it, crate `gpt` makes a table in memory, and the caller decides when and in which order it goes to disk.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    pub head: Vec<u8>,
    pub tail: Vec<u8>,
    len: u64,
    at: u64,
}

impl Window {
    pub fn new(medium: u64) -> Self {
        let len = medium / SECTOR * SECTOR;
        Self {
            head: vec![0; TABLE_HEAD as usize],
            tail: vec![0; TABLE_TAIL as usize],
            len,
            at: 0,
        }
    }

    /// Reads both ends of a medium of `medium` bytes.
    pub fn read(device: &mut (impl Read + Seek), medium: u64) -> io::Result<Self> {
        if medium / SECTOR * SECTOR < TABLE_HEAD + TABLE_TAIL {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("{medium} bytes are too few for a partition table"),
            ));
        }
        let mut window = Self::new(medium);
        device.seek(SeekFrom::Start(0))?;
        device.read_exact(&mut window.head)?;
        device.seek(SeekFrom::Start(window.len - TABLE_TAIL))?;
        device.read_exact(&mut window.tail)?;
        Ok(window)
    }

    /// Returns the same medium with nothing at its start.
    pub fn without_head(&self) -> Self {
        let mut window = self.clone();
        window.head.fill(0);
        window
    }

    /// Returns the same medium with nothing at its end.
    pub fn without_tail(&self) -> Self {
        let mut window = self.clone();
        window.tail.fill(0);
        window
    }

    /// Finds the buffer behind the next `want` bytes.
    fn here(&mut self, want: usize) -> io::Result<&mut [u8]> {
        let tail_start = self.len - TABLE_TAIL;
        let (buffer, offset) = if self.at < TABLE_HEAD {
            (&mut self.head, self.at)
        } else if (tail_start..self.len).contains(&self.at) {
            (&mut self.tail, self.at - tail_start)
        } else {
            return Err(io::Error::other(format!(
                "byte {} is outside the partition table",
                self.at
            )));
        };
        let offset = offset as usize;
        let end = buffer.len().min(offset + want);
        Ok(&mut buffer[offset..end])
    }
}

impl Read for Window {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let here = self.here(out.len())?;
        let len = here.len();
        out[..len].copy_from_slice(here);
        self.at += len as u64;
        Ok(len)
    }
}

impl Write for Window {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let here = self.here(bytes.len())?;
        let len = here.len();
        here.copy_from_slice(&bytes[..len]);
        self.at += len as u64;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Window {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.len.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| io::Error::other("seek before the start"))?;
        Ok(self.at)
    }
}
