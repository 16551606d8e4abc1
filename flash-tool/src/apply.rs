//! Executes a plan.
//!
//! Its safety depends on the order. The whole bundle is checked before the first byte is written. The old partition table
//! is erased first and the new one is written last, each with a flush between: a medium that was interrupted at any point
//! has no table, does not boot, and is completed by running the program again.
//!
//! Unpacking, writing and reading back go on side by side, where the medium can be read past the host's caches: what has been
//! flushed is read back while more is written.

use std::io::{self, Read, Seek};
use std::sync::mpsc::{Receiver, channel, sync_channel};
use std::thread;
use std::time::Instant;

use bundle::Reader;
use layout::Extent;
use medium::{Changes, Medium};

use crate::behind::{Behind, Mark};
use crate::check::{Checked, check};
use crate::error::ApplyError;
use crate::inspect::{self, Fault};
use crate::plan::{Content, Piece, Plan};
use crate::report::{Clockwork, Numbers, Report};
use crate::verify::{reading_order, verify};
use crate::watch::{Stage, Watch};

/// Bytes between two flushes: keeps the progress accurate, and limits the host's dirty memory.
const FLUSH: u64 = 16 * 1024 * 1024;

/// Bytes of zeros that are handled at a time.
pub(crate) const CHUNK: u64 = 1024 * 1024;

/// The most decompressed frames that wait for the medium.
const AHEAD: usize = 8;

/// Executes a plan that was made for this bundle, on an open medium.
pub fn apply<R: Read + Seek + Send>(
    plan: &Plan,
    bundle: &mut Reader<R>,
    medium: &mut dyn Medium,
    watch: &mut dyn Watch,
) -> Result<Report, ApplyError> {
    check(plan, bundle, watch)?.write(medium, watch)
}

impl<R: Read + Seek + Send> Checked<'_, R> {
    /// Writes the medium, and reads it back.
    pub fn write(self, medium: &mut dyn Medium, watch: &mut dyn Watch) -> Result<Report, ApplyError> {
        let Self { plan, bundle, clock } = self;
        let (planned, actual) = (plan.medium, medium.len());
        if planned != actual {
            return Err(ApplyError::OtherMedium { planned, actual });
        }
        let mut work = Work {
            plan,
            medium,
            watch,
            clock,
        };
        work.erase()?;
        work.write_and_read_back(bundle)?;
        work.finish()?;
        if let Err(fault) = work.inspect() {
            // What a node cannot use must not look usable. The fault matters, not the outcome of this write.
            let _ = work.erase();
            return Err(ApplyError::Inspect(fault));
        }
        let disk = plan.table.guids.disk.to_string();
        Ok(work.clock.report(plan.release.clone(), disk, plan.bytes()))
    }
}

/// A plan in execution.
struct Work<'a> {
    plan: &'a Plan,
    medium: &'a mut dyn Medium,
    watch: &'a mut dyn Watch,
    clock: Clockwork,
}

impl Work<'_> {
    /// Erases the old partition table, and discards what the user allowed.
    fn erase(&mut self) -> Result<(), ApplyError> {
        let began = Instant::now();
        let ends = self.plan.table_extents();
        self.watch
            .stage(Stage::Erase, ends.iter().map(|extent| extent.len).sum());
        let mut changes = Changes::default();
        for extent in ends {
            let zeros = vec![0; extent.len as usize];
            changes
                .write(self.medium, extent.start, &zeros)
                .map_err(failed("erase"))?;
            self.watch.advance(extent.len);
        }
        self.medium.sync().map_err(failed("flush"))?;
        for extent in &self.plan.discard {
            self.medium.discard(extent.start, extent.len);
        }
        self.note(Stage::Erase, began, &changes, 0);
        Ok(())
    }

    /// Writes the pieces, while one thread unpacks the next frames, and another reads back what has been flushed.
    fn write_and_read_back<R: Read + Seek + Send>(
        &mut self,
        bundle: &mut Reader<R>,
    ) -> Result<(), ApplyError> {
        let began = Instant::now();
        let plan = self.plan;
        self.watch.stage(Stage::Write, plan.piece_bytes());
        let order = reading_order(plan);
        let extents: Vec<Extent> = order.iter().map(|piece| piece.extent).collect();
        let frames = order.iter().filter_map(|piece| match &piece.content {
            Content::Frame(frame) => Some(*frame),
            Content::Bytes(_) | Content::Zeros => None,
        });
        let frames = frames.collect::<Vec<_>>();
        let bundle_read = frames.iter().map(|frame| u64::from(frame.stored_len)).sum();
        let follower = self.medium.follower().map_err(failed("read past the cache of"))?;
        let mark = Mark::default();
        thread::scope(|scope| {
            let (sender, unpacked) = sync_channel(AHEAD);
            scope.spawn(move || {
                for frame in &frames {
                    let mut out = Vec::with_capacity(frame.raw_len as usize);
                    let result = bundle.frame(frame, &mut out).map(|()| out);
                    // The receiver hangs up when the medium fails, and reports that itself.
                    if sender.send(result).is_err() {
                        return;
                    }
                }
            });
            let (tell, read) = channel();
            let (order_read, mark_read) = (&extents, &mark);
            let follower = follower.map(|source| {
                scope.spawn(move || {
                    let mut behind = Behind {
                        source,
                        order: order_read,
                        mark: mark_read,
                    };
                    // Nobody listens any more when writing has failed.
                    verify(plan, &mut behind, |bytes| {
                        tell.send(bytes).ok();
                    })
                })
            });

            let ending = mark.ending();
            let has_failed = || {
                follower
                    .as_ref()
                    .is_some_and(thread::ScopedJoinHandle::is_finished)
            };
            let changes = self.write_pieces(&order, &unpacked, &mark, has_failed)?;
            drop((unpacked, ending));
            self.note(Stage::Write, began, &changes, bundle_read);

            let began = Instant::now();
            self.watch.stage(Stage::ReadBack, plan.piece_bytes());
            match follower {
                Some(follower) => {
                    read.iter().for_each(|bytes| self.watch.advance(bytes));
                    follower
                        .join()
                        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
                }
                None => {
                    self.medium
                        .drop_cache()
                        .map_err(failed("read past the cache of"))?;
                    verify(plan, self.medium, |bytes| self.watch.advance(bytes))?;
                }
            }
            let read = plan.piece_bytes();
            self.clock.note(
                Stage::ReadBack,
                began,
                Numbers {
                    read,
                    ..Numbers::default()
                },
            );
            Ok(())
        })
    }

    /// Writes the pieces in order, and marks what has been flushed. Returns early if what was written has been read back wrong.
    fn write_pieces(
        &mut self,
        order: &[&Piece],
        unpacked: &Receiver<Result<Vec<u8>, bundle::Error>>,
        mark: &Mark,
        has_failed: impl Fn() -> bool,
    ) -> Result<Changes, ApplyError> {
        let mut changes = Changes::default();
        let mut flushed = 0;
        let zeros = vec![0; CHUNK as usize];
        for (number, piece) in order.iter().enumerate() {
            let bytes = match &piece.content {
                Content::Frame(_) => &unpacked
                    .recv()
                    .expect("the unpacker sends a result for every frame")?,
                Content::Bytes(bytes) => bytes,
                Content::Zeros => &zeros,
            };
            let mut at = 0;
            while at < piece.extent.len {
                let len = CHUNK.min(piece.extent.len - at);
                let wanted = match &piece.content {
                    Content::Zeros => &bytes[..len as usize],
                    Content::Frame(_) | Content::Bytes(_) => &bytes[at as usize..(at + len) as usize],
                };
                changes
                    .write(self.medium, piece.extent.start + at, wanted)
                    .map_err(failed("write to"))?;
                at += len;
                self.watch.advance(len);
            }
            if changes.tally().written - flushed >= FLUSH {
                self.medium.sync().map_err(failed("flush"))?;
                flushed = changes.tally().written;
                mark.reach(number + 1);
                if has_failed() {
                    return Ok(changes);
                }
            }
        }
        self.medium.sync().map_err(failed("flush"))?;
        mark.reach(order.len());
        Ok(changes)
    }

    /// Writes what makes the medium bootable.
    fn finish(&mut self) -> Result<(), ApplyError> {
        let began = Instant::now();
        let [head, tail] = self.plan.table_extents();
        let images = &self.plan.images;
        let Content::Bytes(trailer) = &self.plan.trailer.content else {
            unreachable!("a plan's trailer is bytes");
        };
        // Manifest, backup table, table: each is on the medium before the next one is started.
        let steps: [(Extent, &[u8]); 3] = [
            (self.plan.trailer.extent, trailer),
            (tail, &images.tail),
            (head, &images.head),
        ];
        self.watch
            .stage(Stage::Finish, steps.iter().map(|(extent, _)| extent.len).sum());
        let mut changes = Changes::default();
        for (extent, bytes) in steps {
            changes
                .write(self.medium, extent.start, bytes)
                .map_err(failed("write to"))?;
            self.medium.sync().map_err(failed("flush"))?;
            self.watch.advance(extent.len);
        }
        self.note(Stage::Finish, began, &changes, 0);
        Ok(())
    }

    fn inspect(&mut self) -> Result<(), Fault> {
        let began = Instant::now();
        self.watch.stage(Stage::Inspect, 1);
        self.medium.drop_cache()?;
        let read = inspect::inspect(self.plan, self.medium)?;
        self.watch.advance(1);
        self.clock.note(
            Stage::Inspect,
            began,
            Numbers {
                read,
                ..Numbers::default()
            },
        );
        Ok(())
    }

    fn note(&mut self, stage: Stage, began: Instant, changes: &Changes, bundle_read: u64) {
        let medium::Tally { read, written, equal } = changes.tally();
        self.clock.note(
            stage,
            began,
            Numbers {
                bundle_read,
                read,
                written,
                equal,
            },
        );
    }
}

pub(crate) fn failed(action: &'static str) -> impl FnOnce(io::Error) -> ApplyError {
    move |source| ApplyError::Medium { action, source }
}
