//! Reads a whole bundle before a medium is touched.

use std::io::{Read, Seek};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use bundle::{Decoder, Frame, Reader};
use verity::Verifier;

use crate::consistency::{self, tree_of};
use crate::error::ApplyError;
use crate::limit::Limit;
use crate::plan::Plan;
use crate::report::{Clockwork, Numbers};
use crate::watch::{Stage, Watch};

/// A bundle whose every byte was read and verified: the last frame might be the damaged one.
pub struct Checked<'a, R> {
    pub(crate) plan: &'a Plan,
    pub(crate) bundle: &'a mut Reader<R>,
    pub(crate) clock: Clockwork,
}

/// Reads and checks the whole bundle, before a medium is even opened for writing.
pub fn check<'a, R: Read + Seek + Send>(
    plan: &'a Plan,
    bundle: &'a mut Reader<R>,
    watch: &mut dyn Watch,
) -> Result<Checked<'a, R>, ApplyError> {
    let began = Instant::now();
    let mut clock = Clockwork::new();
    let frames = bundle.index().frames().to_vec();
    watch.stage(
        Stage::Check,
        frames.iter().map(|frame| u64::from(frame.raw_len)).sum(),
    );
    let verifier = &tree_of(bundle, &plan.manifest.slot)?;
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let (frames, jobs) = (frames.as_slice(), Mutex::new((0, &mut *bundle)));
    thread::scope(|scope| {
        let (sender, results) = sync_channel(workers);
        for _ in 0..workers {
            let (sender, jobs) = (sender.clone(), &jobs);
            scope.spawn(move || check_some(frames, jobs, verifier, &sender));
        }
        drop(sender);
        // Leaving at the first error hangs up, which ends the workers.
        for result in results {
            watch.advance(result?);
        }
        Ok::<_, ApplyError>(())
    })?;
    clock.busy.add(Limit::Bundle, began.elapsed());
    let bundle_read = plan.release.bundle_bytes;
    clock.note(
        Stage::Check,
        began,
        Numbers {
            bundle_read,
            ..Numbers::default()
        },
    );
    Ok(Checked { plan, bundle, clock })
}

/// Checks frames, one after the other, until all are taken: reading takes turns, decompression does not.
fn check_some<R: Read + Seek>(
    frames: &[Frame],
    jobs: &Mutex<(usize, &mut Reader<R>)>,
    verifier: &Verifier,
    done: &SyncSender<Result<u64, ApplyError>>,
) {
    let (mut stored, mut out) = (Vec::new(), Vec::new());
    let mut decoder = match Decoder::new() {
        Ok(decoder) => decoder,
        Err(error) => {
            let _ = done.send(Err(bundle::Error::from(error).into()));
            return;
        }
    };
    loop {
        let (frame, read) = {
            let mut jobs = jobs.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(frame) = frames.get(jobs.0) else { return };
            jobs.0 += 1;
            (frame, jobs.1.stored(frame, &mut stored))
        };
        let checked = read.map_err(ApplyError::from).and_then(|()| {
            decoder
                .decode(frame, &stored, &mut out)
                .map_err(|source| bundle::Error::in_frame(frame, source))?;
            consistency::check(verifier, frame, &out)
                .map_err(|error| ApplyError::Inconsistent(error.into()))?;
            Ok(u64::from(frame.raw_len))
        });
        if done.send(checked).is_err() {
            return;
        }
    }
}
