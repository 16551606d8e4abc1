//! Writing a medium and reading it back, one after the other: for media that only one can use at a time.

use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Instant;

use medium::{Changes, Medium, Tally};

use crate::apply::failed;
use crate::error::ApplyError;
use crate::frames::Frames;
use crate::limit::{Busy, Limit};
use crate::pieces::{Arriving, Loaded, frames};
use crate::pipeline::{AHEAD, FLUSH, Moved};
use crate::plan::Plan;
use crate::verify::verify;
use crate::watch::{Stage, Watch};

/// Writes the pieces of a plan, while a thread unpacks the next ones, and reads all of them back. `written` is told when the last
/// byte is written.
pub(crate) fn run(
    plan: &Plan,
    source: &mut dyn Frames,
    medium: &mut dyn Medium,
    watch: &mut dyn Watch,
    busy: &mut Busy,
    written: impl FnOnce(&Moved),
) -> Result<Moved, ApplyError> {
    watch.stage(Stage::Write, plan.piece_bytes());
    let began = Instant::now();
    let (tally, unpacking) = thread::scope(|scope| {
        let (sender, unpacked) = sync_channel(AHEAD);
        let unpacker = scope.spawn(move || source.unpack_all(&frames(plan), &sender));
        let tally = write_all(plan, &unpacked, medium, watch)?;
        let unpacking = unpacker.join();
        Ok::<_, ApplyError>((
            tally,
            unpacking.unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
        ))
    })?;
    let moved = Moved {
        compared: tally.read,
        written: tally.written,
        equal: tally.equal,
        read_back: plan.piece_bytes(),
    };
    busy.add(Limit::Unpacking, unpacking);
    busy.add(Limit::Writing, began.elapsed());
    written(&moved);

    let began = Instant::now();
    watch.stage(Stage::ReadBack, plan.piece_bytes());
    medium.drop_cache().map_err(failed("read past the cache of"))?;
    for piece in &plan.pieces {
        verify(piece, medium)?;
        watch.advance(piece.extent.len);
    }
    busy.add(Limit::ReadingBack, began.elapsed());
    Ok(moved)
}

fn write_all(
    plan: &Plan,
    frames: &Arriving,
    medium: &mut dyn Medium,
    watch: &mut dyn Watch,
) -> Result<Tally, ApplyError> {
    let (mut changes, mut flushed) = (Changes::default(), 0);
    for piece in &plan.pieces {
        let loaded = Loaded::take(piece, frames)?;
        for part in loaded.parts() {
            changes
                .write(medium, part.start, loaded.bytes(part))
                .map_err(failed("write to"))?;
            watch.advance(part.len);
        }
        if changes.tally().written - flushed >= FLUSH {
            medium.sync().map_err(failed("flush"))?;
            flushed = changes.tally().written;
        }
    }
    medium.sync().map_err(failed("flush"))?;
    Ok(changes.tally())
}
