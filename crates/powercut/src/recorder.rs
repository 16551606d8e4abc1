//! A medium that records what was done to it.

use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;

use layout::Extent;
use medium::Medium;

use crate::image::{BLOCK, Block, Image, SECTOR};

/// A write.
#[derive(Debug, Clone)]
pub struct Write {
    offset: u64,
    bytes: Arc<[u8]>,
    /// The whole blocks in it, made once and shared by all states.
    blocks: Arc<[Arc<Block>]>,
}

impl Write {
    /// Records bytes to be written.
    pub fn new(offset: u64, bytes: &[u8]) -> Self {
        let skip = ((offset.next_multiple_of(BLOCK as u64) - offset) as usize).min(bytes.len());
        let (whole, _) = bytes[skip..].as_chunks::<BLOCK>();
        Self {
            offset,
            bytes: bytes.into(),
            blocks: whole.iter().map(Block::new).collect(),
        }
    }

    /// Returns the offset of the first byte on the medium.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Returns what is written.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the first byte after it.
    pub fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }

    /// Returns the sectors that it touches.
    pub fn sectors(&self) -> Range<u64> {
        self.offset / SECTOR as u64..self.end().div_ceil(SECTOR as u64)
    }

    /// Returns true if two writes touch the same sector.
    pub fn overlaps(&self, other: &Write) -> bool {
        let (one, two) = (self.sectors(), other.sectors());
        one.start < two.end && two.start < one.end
    }

    /// Returns true if it is inside a part of the medium.
    pub fn is_in(&self, part: &Extent) -> bool {
        part.start <= self.offset && self.end() <= part.end()
    }

    /// Applies all of it to a medium.
    pub fn apply(&self, image: &mut Image) {
        self.apply_sectors(image, self.sectors());
    }

    /// Applies the part in these sectors to a medium.
    pub fn apply_sectors(&self, image: &mut Image, sectors: Range<u64>) {
        let block = BLOCK as u64;
        let end = self.end().min(sectors.end * SECTOR as u64);
        let mut at = self.offset.max(sectors.start * SECTOR as u64);
        let first = self.offset.div_ceil(block);
        while at < end {
            let next = (at / block + 1) * block;
            match self.blocks.get((at / block).wrapping_sub(first) as usize) {
                Some(whole) if at.is_multiple_of(block) && next <= end => {
                    image.put(at / block, Arc::clone(whole));
                }
                _ => {
                    let (from, to) = (at - self.offset, next.min(end) - self.offset);
                    image.write(at, &self.bytes[from as usize..to as usize]);
                }
            }
            at = next;
        }
    }
}

/// An event on a medium.
#[derive(Debug, Clone)]
pub enum Event {
    /// Bytes were written; they may be in a volatile cache.
    Write(Write),
    /// Everything written before to this part of the medium has reached it. Caches of other parts have not been flushed.
    Sync(Extent),
}

/// The initial content of a medium, and what was done to it.
#[derive(Debug, Clone)]
pub struct Recording {
    /// The content before.
    pub before: Image,
    /// The events, in order.
    pub events: Vec<Event>,
    /// What a reader saw at the end.
    pub after: Image,
}

impl Recording {
    /// Returns the number of writes.
    pub fn writes(&self) -> usize {
        let write = |event: &&Event| matches!(event, Event::Write(_));
        self.events.iter().filter(write).count()
    }

    /// Returns the number of syncs.
    pub fn syncs(&self) -> usize {
        self.events.len() - self.writes()
    }

    /// Returns true if everything that was written would survive.
    pub fn is_durable(&self) -> bool {
        let mut waiting = Vec::new();
        for event in &self.events {
            match event {
                Event::Write(write) => waiting.push(write),
                Event::Sync(part) => waiting.retain(|write| !write.is_in(part)),
            }
        }
        waiting.is_empty()
    }

    /// Returns what a writer would have done that omits this sync: a proof that does not notice is worthless.
    pub fn without_sync(&self, number: usize) -> Self {
        let mut syncs = 0;
        let mut events = self.events.clone();
        events.retain(|event| {
            let sync = matches!(event, Event::Sync(_));
            syncs += usize::from(sync);
            !sync || syncs != number + 1
        });
        self.with(events)
    }

    /// Returns what a writer would have done that performs the steps, each ending with a sync, in this order.
    pub fn in_order(&self, steps: &[usize]) -> Self {
        let all = self
            .events
            .split_inclusive(|event| matches!(event, Event::Sync(_)));
        let all = all.collect::<Vec<_>>();
        self.with(steps.iter().flat_map(|step| all[*step]).cloned().collect())
    }

    fn with(&self, events: Vec<Event>) -> Self {
        Self {
            events,
            ..self.clone()
        }
    }
}

/// A medium in memory that logs writes and syncs.
///
/// It is a [`Medium`], and a file for code that needs one: flushing that file is not a sync, as with a real one.
#[derive(Debug, Clone)]
pub struct Recorder {
    before: Image,
    now: Image,
    events: Vec<Event>,
    at: u64,
}

impl Recorder {
    /// Starts recording on a medium with this content.
    pub fn new(image: Image) -> Self {
        Self {
            now: image.clone(),
            before: image,
            events: Vec::new(),
            at: 0,
        }
    }

    /// Returns what a reader sees now.
    pub fn image(&self) -> &Image {
        &self.now
    }

    /// Ends the recording.
    pub fn finish(self) -> Recording {
        Recording {
            before: self.before,
            events: self.events,
            after: self.now,
        }
    }

    pub(crate) fn note(&mut self, event: Event) {
        self.events.push(event);
    }

    fn within(&self, offset: u64, len: usize) -> io::Result<()> {
        let end = offset.checked_add(len as u64);
        if end.is_none_or(|end| end > self.now.len()) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("byte {offset} and the {len} after it are beyond the end of the medium"),
            ));
        }
        Ok(())
    }
}

impl Medium for Recorder {
    fn len(&self) -> u64 {
        self.now.len()
    }

    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.within(offset, out.len())?;
        self.now.read(offset, out);
        Ok(())
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.within(offset, bytes.len())?;
        if !bytes.is_empty() {
            let write = Write::new(offset, bytes);
            write.apply(&mut self.now);
            self.events.push(Event::Write(write));
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let len = self.now.len();
        self.note(Event::Sync(Extent { start: 0, len }));
        Ok(())
    }

    fn drop_cache(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Recorder {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = self.now.len().saturating_sub(self.at);
        let len = out.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        self.now.read(self.at, &mut out[..len]);
        self.at += len as u64;
        Ok(len)
    }
}

impl io::Write for Recorder {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.now.len().saturating_sub(self.at);
        let len = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        self.write_at(self.at, &bytes[..len])?;
        self.at += len as u64;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Recorder {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.now.len().checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| io::Error::other("seek before the start"))?;
        Ok(self.at)
    }
}
