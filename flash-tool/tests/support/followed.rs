//! A medium that is read back while it is written.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use medium::{Flush, Medium, Source};

use super::Memory;

/// A memory that is read back while it is written, as disks and files are.
#[derive(Clone)]
pub struct Followed(pub Arc<Mutex<Memory>>);

impl Followed {
    pub fn new(memory: Memory) -> Self {
        Self(Arc::new(Mutex::new(memory)))
    }

    pub fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap()
    }
}

impl Medium for Followed {
    fn len(&self) -> u64 {
        self.memory().len()
    }

    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.memory().read_at(offset, out)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.memory().write_at(offset, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.memory().sync()
    }

    fn drop_cache(&mut self) -> io::Result<()> {
        self.memory().drop_cache()
    }

    fn follower(&self) -> io::Result<Option<Box<dyn Source + Send>>> {
        Ok(Some(Box::new(self.clone())))
    }

    fn flusher(&self) -> io::Result<Option<Box<dyn Flush + Send>>> {
        Ok(Some(Box::new(self.clone())))
    }
}

impl Flush for Followed {
    fn flush(&mut self) -> io::Result<()> {
        self.memory().sync()
    }
}
