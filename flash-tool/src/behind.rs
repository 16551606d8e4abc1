//! Reading behind a writer: what is read waits until it has been written and flushed.

use std::io;
use std::sync::{Condvar, Mutex, PoisonError};

use layout::Extent;
use medium::Source;

/// How far the writer has come.
#[derive(Default)]
pub(crate) struct Mark {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The number of extents, in the order in which they are written, that are on the medium.
    written: usize,
    /// Set when there will be no more.
    ended: bool,
}

impl Mark {
    /// Says that so many extents are on the medium.
    pub fn reach(&self, written: usize) {
        self.change(|state| state.written = written);
    }

    /// Returns what says, when it is dropped, that nothing more will be written.
    pub fn ending(&self) -> Ending<'_> {
        Ending(self)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    /// Waits until so many extents are on the medium; returns false if they will not be.
    fn wait(&self, written: usize) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_missing = |state: &mut State| state.written < written && !state.ended;
        let state = self.changed.wait_while(state, is_missing);
        state.unwrap_or_else(PoisonError::into_inner).written >= written
    }
}

/// The writer's end, however it comes.
pub(crate) struct Ending<'a>(&'a Mark);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.change(|state| state.ended = true);
    }
}

/// A medium that is being written, as it becomes readable.
pub(crate) struct Behind<'a> {
    /// The way past the caches.
    pub source: Box<dyn Source + Send>,
    /// What is written, in order.
    pub order: &'a [Extent],
    /// How much of it is there.
    pub mark: &'a Mark,
}

impl Source for Behind<'_> {
    fn read_bytes(&mut self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let end = offset + out.len() as u64;
        let is_read = |extent: &Extent| extent.start < end && offset < extent.end();
        let needed = self.order.iter().rposition(is_read).map_or(0, |last| last + 1);
        if !self.mark.wait(needed) {
            return Err(io::Error::other("it was not written"));
        }
        self.source.read_bytes(offset, out)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::thread;

    use super::*;

    /// Reads what it was asked for, as far as tests can see.
    struct Nothing;

    impl Source for Nothing {
        fn read_bytes(&mut self, _: u64, _: &mut [u8]) -> io::Result<()> {
            Ok(())
        }
    }

    fn extent(start: u64, len: u64) -> Extent {
        Extent { start, len }
    }

    #[test]
    fn a_read_waits_for_the_last_extent_that_it_touches() {
        let order = [extent(100, 50), extent(0, 100), extent(200, 10)];
        let mark = Mark::default();
        let mut behind = Behind {
            source: Box::new(Nothing),
            order: &order,
            mark: &mark,
        };
        let (send, read) = channel();
        thread::scope(|scope| {
            scope.spawn(move || {
                // What nobody writes is there already.
                for (offset, len) in [(150, 50), (100, 50), (99, 2), (205, 1)] {
                    let result = behind.read_bytes(offset, &mut vec![0; len]);
                    send.send((offset, result.is_ok())).unwrap();
                }
            });
            let ending = mark.ending();
            assert_eq!(read.recv().unwrap(), (150, true));
            assert!(read.try_recv().is_err(), "nothing is written yet");
            mark.reach(1);
            assert_eq!(read.recv().unwrap(), (100, true));
            assert!(read.try_recv().is_err(), "byte 99 is not written yet");
            mark.reach(2);
            assert_eq!(read.recv().unwrap(), (99, true));
            drop(ending);
            assert_eq!(read.recv().unwrap(), (205, false));
        });
    }
}
