//! Reading past every cache of the host.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt as _;

use crate::Source;

/// What offsets, lengths and buffers are multiples of: the largest logical sector that disks have.
const SECTOR: usize = 4096;
/// Bytes that are read at a time.
const CHUNK: usize = 1024 * 1024;

/// A file or disk that was opened with `O_DIRECT`, read at any offset.
pub(crate) struct Direct {
    file: File,
    /// A chunk, and room to begin it at a multiple of the sector.
    buffer: Vec<u8>,
}

impl Direct {
    /// Wraps an open file; `None` if it cannot be read like this after all, which some file systems say only then.
    pub(crate) fn new(file: File) -> Option<Self> {
        let mut direct = Direct {
            file,
            buffer: vec![0; CHUNK + SECTOR],
        };
        direct.sectors(0, SECTOR).is_ok().then_some(direct)
    }

    /// Reads up to `len` bytes, which must be whole sectors, as `start` must.
    fn sectors(&mut self, start: u64, len: usize) -> io::Result<&[u8]> {
        let aligned = self.buffer.as_ptr().align_offset(SECTOR);
        let place = &mut self.buffer[aligned..aligned + len];
        loop {
            match self.file.read_at(place, start) {
                Ok(read) => return Ok(&self.buffer[aligned..aligned + read]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Source for Direct {
    fn read_bytes(&mut self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut done = 0;
        while done < out.len() {
            let at = offset + done as u64;
            let before = (at % SECTOR as u64) as usize;
            let wanted = out.len() - done;
            let len = (before + wanted).next_multiple_of(SECTOR).min(CHUNK);
            let read = self.sectors(at - before as u64, len)?;
            // The end of a file or disk may lie within a sector.
            let Some(bytes) = read.get(before..).filter(|bytes| !bytes.is_empty()) else {
                return Err(ErrorKind::UnexpectedEof.into());
            };
            let len = bytes.len().min(wanted);
            out[done..done + len].copy_from_slice(&bytes[..len]);
            done += len;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn any_bytes_are_read_up_to_the_end_and_no_further() {
        let len = 2 * CHUNK + 777;
        let content: Vec<u8> = (0..len).map(|at| (at / 7 + at / 4096) as u8).collect();
        // Where the build is, there is a real file system; /tmp may be in memory.
        let file = tempfile::NamedTempFile::new_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        std::fs::write(file.path(), &content).unwrap();
        let direct = sys::disk::reopen_direct(file.as_file())
            .unwrap()
            .and_then(Direct::new);
        // Without such a file system there is nothing to try it with.
        let Some(direct) = direct.map(RefCell::new) else {
            return;
        };
        proptest!(|(start in 0..len + 10_000, wanted in 0..2 * CHUNK)| {
            let mut out = vec![0; wanted];
            let read = direct.borrow_mut().read_bytes(start as u64, &mut out);
            match content.get(start..start + wanted) {
                Some(expected) => prop_assert!(read.is_ok() && out == expected),
                None => prop_assert_eq!(read.is_err(), wanted > 0),
            }
        });
    }
}
