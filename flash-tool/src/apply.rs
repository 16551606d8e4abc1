//! Executes a plan.
//!
//! Its safety depends on the order. The whole bundle is checked before the first byte is written. The old partition table
//! is erased first and the new one is written last, each with a flush between: a medium that was interrupted at any point
//! has no table, does not boot, and is completed by running the program again.
//!
//! Unpacking, comparing, writing and reading back go on side by side, where the medium can be read past the host's caches.

use std::io::{self, Read, Seek};
use std::time::Instant;

use bundle::Reader;
use layout::Extent;
use medium::{Changes, Medium};

use crate::check::{Checked, check};
use crate::error::ApplyError;
use crate::frames::Frames;
use crate::inspect::{self, Fault};
use crate::limit::Busy;
use crate::pieces::frames;
use crate::pipeline::{self, Moved, Ways};
use crate::plan::{Content, Plan};
use crate::report::{Clockwork, Numbers, Report};
use crate::serial;
use crate::watch::{Stage, Watch};

/// Bytes of zeros that are handled at a time.
pub(crate) const CHUNK: u64 = 1024 * 1024;

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
        write_plan(plan, bundle, clock, medium, watch)
    }
}

/// Writes a medium by a plan, and reads it back. The bundle was checked before, and `frames` are its.
pub(crate) fn write_plan(
    plan: &Plan,
    frames: &mut dyn Frames,
    clock: Clockwork,
    medium: &mut dyn Medium,
    watch: &mut dyn Watch,
) -> Result<Report, ApplyError> {
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
    work.write_and_read_back(frames)?;
    work.finish()?;
    if let Err(fault) = work.inspect() {
        // What a node cannot use must not look usable. The fault matters, not the outcome of this write.
        let _ = work.erase();
        return Err(ApplyError::Inspect(fault));
    }
    let disk = plan.table.guids.disk.to_string();
    Ok(work.clock.report(plan.release.clone(), disk, plan.bytes()))
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

    /// Writes the pieces, and reads them back.
    fn write_and_read_back(&mut self, source: &mut dyn Frames) -> Result<(), ApplyError> {
        let plan = self.plan;
        let (mut busy, mut began) = (Busy::default(), Instant::now());
        let bundle_read = frames(plan).iter().map(|frame| u64::from(frame.stored_len)).sum();
        let clock = &mut self.clock;
        let written = |moved: &Moved| {
            let numbers = Numbers {
                bundle_read,
                read: moved.compared,
                written: moved.written,
                equal: moved.equal,
            };
            clock.note(Stage::Write, began, numbers);
            began = Instant::now();
        };
        let moved = match Ways::to(self.medium)? {
            Some(ways) => pipeline::run(plan, source, self.medium, ways, self.watch, &mut busy, written)?,
            None => serial::run(plan, source, self.medium, self.watch, &mut busy, written)?,
        };
        let numbers = Numbers {
            read: moved.read_back,
            ..Numbers::default()
        };
        self.clock.note(Stage::ReadBack, began, numbers);
        self.clock.busy.append(busy);
        Ok(())
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
