//! Writing a medium and reading it back, all at once.
//!
//! | stage | thread | hands on |
//! |---|---|---|
//! | read and unpack the bundle | one for each processor, up to four | the bytes of each frame |
//! | compare with the medium, past the host's caches | its own | which bytes of each piece differ |
//! | write those | the caller's | the pieces that were changed, every [`FLUSH`] bytes |
//! | flush | its own | the pieces that are on the medium |
//! | read those back, past the host's caches | its own | errors |
//!
//! A piece of which every byte was read and found equal is verified by that, and not read again. Between two stages waits a small
//! number of pieces: memory is bounded, and the slowest stage sets the pace.

use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use layout::Extent;
use medium::{Comparison, Flush, Medium, Source};

use crate::apply::failed;
use crate::error::ApplyError;
use crate::frames::Frames;
use crate::limit::{Busy, Limit};
use crate::piece::Piece;
use crate::pieces::{Arriving, Loaded, frames};
use crate::plan::Plan;
use crate::verify::verify;
use crate::watch::{Stage, Watch};

/// Bytes between two flushes: keeps the progress accurate, and limits the host's dirty memory.
pub(crate) const FLUSH: u64 = 16 * 1024 * 1024;

/// The most decompressed frames that wait to be compared: each has at most 4 MiB.
pub(crate) const AHEAD: usize = 4;

/// The ways to a medium that can be used while it is written.
pub(crate) struct Ways {
    compare: Box<dyn Source + Send>,
    flush: Box<dyn Flush + Send>,
    read_back: Box<dyn Source + Send>,
}

impl Ways {
    /// Returns the ways to a medium that has them all.
    pub fn to(medium: &dyn Medium) -> Result<Option<Self>, ApplyError> {
        let open = || {
            let (compare, read_back) = (medium.follower()?, medium.follower()?);
            let ways = compare.zip(read_back).zip(medium.flusher()?);
            Ok(ways.map(|((compare, read_back), flush)| Self {
                compare,
                flush,
                read_back,
            }))
        };
        open().map_err(failed("read past the cache of"))
    }
}

/// What went to and from the medium.
#[derive(Debug, Default)]
pub(crate) struct Moved {
    /// Bytes read to compare.
    pub compared: u64,
    pub written: u64,
    pub equal: u64,
    /// Bytes read back.
    pub read_back: u64,
}

/// A piece, and what of it must be written.
struct Compared<'a> {
    loaded: Loaded<'a>,
    differing: Vec<Extent>,
}

/// Writes the pieces of a plan, and reads back what it changed. `written` is told when the last byte is written.
pub(crate) fn run(
    plan: &Plan,
    source: &mut dyn Frames,
    medium: &mut dyn Medium,
    ways: Ways,
    watch: &mut dyn Watch,
    busy: &mut Busy,
    written: impl FnOnce(&Moved),
) -> Result<Moved, ApplyError> {
    let Ways {
        compare,
        flush,
        read_back,
    } = ways;
    let mut moved = Moved::default();
    thread::scope(|scope| {
        let (sender, unpacked) = sync_channel(AHEAD);
        let unpacker = scope.spawn(move || source.unpack_all(&frames(plan), &sender));
        let (sender, compared) = sync_channel(1);
        let comparer = scope.spawn(move || compare_all(plan, &unpacked, compare, &sender));
        let (changed, batches) = sync_channel(1);
        let (sender, flushed) = channel();
        let flusher = scope.spawn(move || flush_all(&batches, flush, &sender));
        let (tell, read) = channel();
        let reader = scope.spawn(move || read_all(&flushed, read_back, &tell));

        watch.stage(Stage::Write, plan.piece_bytes());
        let writing = write_all(&compared, medium, &changed, watch, &mut moved)?;
        drop((compared, changed));
        busy.add(Limit::Unpacking, join(unpacker));
        let (compared, comparing) = join(comparer);
        moved.compared = compared;
        busy.add(Limit::Comparing, comparing);
        written(&moved);

        watch.stage(Stage::ReadBack, moved.read_back);
        let flushing = join(flusher)?;
        busy.add(Limit::Writing, writing.max(flushing));
        read.iter().for_each(|bytes| watch.advance(bytes));
        busy.add(Limit::ReadingBack, join(reader)?);
        Ok(moved)
    })
}

/// Compares the pieces with the medium; returns how many bytes were read, and how long that took.
fn compare_all<'a>(
    plan: &'a Plan,
    frames: &Arriving,
    mut medium: Box<dyn Source + Send>,
    to: &SyncSender<Result<Compared<'a>, bundle::Error>>,
) -> (u64, Duration) {
    let (mut comparison, mut busy) = (Comparison::default(), Duration::ZERO);
    for piece in &plan.pieces {
        let compared = Loaded::take(piece, frames).map(|loaded| {
            let began = Instant::now();
            let mut differing = Vec::new();
            for part in loaded.parts() {
                let runs = comparison.differing(&mut *medium, part.start, loaded.bytes(part));
                differing.extend(runs.into_iter().map(|run| Extent {
                    start: part.start + run.start as u64,
                    len: run.len() as u64,
                }));
            }
            busy += began.elapsed();
            Compared { loaded, differing }
        });
        let failed = compared.is_err();
        if to.send(compared).is_err() || failed {
            break;
        }
    }
    (comparison.read(), busy)
}

/// Writes what differs, and hands on what was changed; returns how long that took. Ends early when nobody takes it any more.
fn write_all<'a>(
    compared: &Receiver<Result<Compared<'a>, bundle::Error>>,
    medium: &mut dyn Medium,
    changed: &SyncSender<Vec<&'a Piece>>,
    watch: &mut dyn Watch,
    moved: &mut Moved,
) -> Result<Duration, ApplyError> {
    let (mut busy, mut batch, mut waiting) = (Duration::ZERO, Vec::new(), 0);
    for compared in compared {
        let Compared { loaded, differing } = compared?;
        let began = Instant::now();
        for part in &differing {
            medium
                .write_at(part.start, loaded.bytes(*part))
                .map_err(failed("write to"))?;
        }
        busy += began.elapsed();
        let (len, written) = (
            loaded.piece.extent.len,
            differing.iter().map(|part| part.len).sum::<u64>(),
        );
        moved.written += written;
        moved.equal += len - written;
        waiting += written;
        if written > 0 {
            moved.read_back += len;
            batch.push(loaded.piece);
        }
        watch.advance(len);
        if waiting >= FLUSH {
            waiting = 0;
            if changed.send(std::mem::take(&mut batch)).is_err() {
                return Ok(busy);
            }
        }
    }
    // Whoever does not take it says why.
    let _ = changed.send(batch);
    Ok(busy)
}

/// Flushes, and hands on what is on the medium then; returns how long that took.
fn flush_all<'a>(
    changed: &Receiver<Vec<&'a Piece>>,
    mut medium: Box<dyn Flush + Send>,
    to: &Sender<Vec<&'a Piece>>,
) -> Result<Duration, ApplyError> {
    let mut busy = Duration::ZERO;
    for batch in changed {
        let began = Instant::now();
        medium.flush().map_err(failed("flush"))?;
        busy += began.elapsed();
        if to.send(batch).is_err() {
            break;
        }
    }
    Ok(busy)
}

/// Reads back what is on the medium; returns how long that took.
fn read_all(
    flushed: &Receiver<Vec<&Piece>>,
    mut medium: Box<dyn Source + Send>,
    tell: &Sender<u64>,
) -> Result<Duration, ApplyError> {
    let mut busy = Duration::ZERO;
    for piece in flushed.iter().flatten() {
        let began = Instant::now();
        verify(piece, &mut *medium)?;
        busy += began.elapsed();
        // Nobody listens any more when writing has failed.
        let _ = tell.send(piece.extent.len);
    }
    Ok(busy)
}

fn join<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
