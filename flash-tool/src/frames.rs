//! Where the unpacked frames of a bundle come from: from the bundle itself, or from whoever unpacks it for several cards.

use std::borrow::BorrowMut;
use std::io::{Read, Seek};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use bundle::{Decoder, Frame, Reader};

/// An unpacked frame, whose hash was checked.
pub(crate) type Unpacked = Result<Arc<Vec<u8>>, bundle::Error>;

/// The most threads that unpack one bundle: each holds a frame, which has at most 4 MiB.
const THREADS: usize = 4;

/// The unpacked frames of a bundle.
pub(crate) trait Frames: Send {
    /// Returns an unpacked frame.
    fn unpacked(&mut self, frame: &Frame) -> Unpacked;

    /// Hands on frames in their order, until nobody takes them any more; returns how long unpacking took.
    fn unpack_all(&mut self, frames: &[Frame], to: &SyncSender<Unpacked>) -> Duration {
        let mut busy = Duration::ZERO;
        for frame in frames {
            let began = Instant::now();
            let result = self.unpacked(frame);
            busy += began.elapsed();
            // The receiver hangs up when the medium fails, and reports that itself.
            if to.send(result).is_err() {
                break;
            }
        }
        busy
    }
}

impl<R: Read + Seek + Send> Frames for Reader<R> {
    fn unpacked(&mut self, frame: &Frame) -> Unpacked {
        let mut out = Vec::with_capacity(frame.raw_len as usize);
        self.frame(frame, &mut out).map(|()| Arc::new(out))
    }

    /// Several threads take turns at the frames: reading waits for the others, unpacking does not.
    fn unpack_all(&mut self, frames: &[Frame], to: &SyncSender<Unpacked>) -> Duration {
        let threads = thread::available_parallelism()
            .map_or(1, usize::from)
            .min(THREADS);
        let bundle = &Mutex::new(self);
        thread::scope(|scope| {
            let (mut lanes, mut running) = (Vec::new(), Vec::new());
            for first in 0..threads {
                let (sender, lane) = sync_channel(0);
                let own = frames.iter().skip(first).step_by(threads);
                running.push(scope.spawn(move || unpack_some(own, bundle, &sender)));
                lanes.push(lane);
            }
            for number in 0..frames.len() {
                let Ok(result) = lanes[number % threads].recv() else {
                    break;
                };
                if to.send(result).is_err() {
                    break;
                }
            }
            drop(lanes);
            let times = running.into_iter().map(thread::ScopedJoinHandle::join);
            times
                .map(|time| time.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .max()
                .unwrap_or_default()
        })
    }
}

/// Reads and unpacks some frames; returns how long that took.
fn unpack_some<'a, R: Read + Seek>(
    frames: impl Iterator<Item = &'a Frame>,
    bundle: &Mutex<&mut Reader<R>>,
    to: &SyncSender<Unpacked>,
) -> Duration {
    let mut busy = Duration::ZERO;
    let mut decoder = match Decoder::new() {
        Ok(decoder) => decoder,
        Err(error) => {
            let _ = to.send(Err(error.into()));
            return busy;
        }
    };
    let mut stored = Vec::new();
    for frame in frames {
        let began = Instant::now();
        let result = unpack(bundle, &mut decoder, &mut stored, frame);
        busy += began.elapsed();
        if to.send(result).is_err() {
            break;
        }
    }
    busy
}

/// Reads a frame, which waits for others who read, and unpacks it, which does not. `stored` is a buffer.
pub(crate) fn unpack<R: Read + Seek>(
    bundle: &Mutex<impl BorrowMut<Reader<R>>>,
    decoder: &mut Decoder,
    stored: &mut Vec<u8>,
    frame: &Frame,
) -> Unpacked {
    let mut guard = bundle.lock().unwrap_or_else(PoisonError::into_inner);
    let reader: &mut Reader<R> = (*guard).borrow_mut();
    let read = reader.stored(frame, stored);
    drop(guard);
    read?;
    let mut out = Vec::with_capacity(frame.raw_len as usize);
    let decoded = decoder.decode(frame, stored, &mut out);
    decoded.map_err(|source| bundle::Error::in_frame(frame, source))?;
    Ok(Arc::new(out))
}
