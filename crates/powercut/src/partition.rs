//! Partitions of a recorded disk that are open at the same time.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use layout::Extent;
use medium::Medium;

use crate::{Event, Image, Recorder, Recording};

/// A recorded disk with several users.
#[derive(Debug, Clone)]
pub struct Disk {
    recorder: Rc<RefCell<Recorder>>,
}

impl Disk {
    /// Starts recording on a disk with this content.
    pub fn new(image: Image) -> Self {
        Self {
            recorder: Rc::new(RefCell::new(Recorder::new(image))),
        }
    }

    /// Opens a part of it.
    pub fn open(&self, extent: Extent) -> Partition {
        Partition {
            disk: Rc::clone(&self.recorder),
            extent,
        }
    }

    /// Returns what a reader sees now.
    pub fn image(&self) -> Image {
        self.recorder.borrow().image().clone()
    }

    /// Ends the recording. Partitions that are still open continue with a disk of their own.
    pub fn finish(&self) -> Recording {
        self.recorder.borrow().clone().finish()
    }
}

/// A partition of a recorded disk.
///
/// As with Linux, each partition has its own cache: a sync does not cover what was written to another one.
#[derive(Debug, Clone)]
pub struct Partition {
    disk: Rc<RefCell<Recorder>>,
    extent: Extent,
}

impl Partition {
    fn within(&self, offset: u64, len: usize) -> io::Result<u64> {
        let end = offset.checked_add(len as u64);
        if end.is_none_or(|end| end > self.extent.len) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("byte {offset} and the {len} after it are beyond the end of the partition"),
            ));
        }
        Ok(self.extent.start + offset)
    }
}

impl Medium for Partition {
    fn len(&self) -> u64 {
        self.extent.len
    }

    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let at = self.within(offset, out.len())?;
        self.disk.borrow_mut().read_at(at, out)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let at = self.within(offset, bytes.len())?;
        self.disk.borrow_mut().write_at(at, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.borrow_mut().note(Event::Sync(self.extent));
        Ok(())
    }

    fn drop_cache(&mut self) -> io::Result<()> {
        Ok(())
    }
}
