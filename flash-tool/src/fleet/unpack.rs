//! Unpacks the frames of a bundle once, for all cards that are written side by side.
//!
//! Cards that start together share a pass over the bundle. Whoever needs a frame first unpacks it, the others receive the same
//! bytes, and nobody gets further ahead of the slowest card than a window of frames: what is unpacked does not grow with the number
//! of cards. A card that has held the others up for too long leaves the pass, and unpacks its frames itself from then on. So does
//! one that comes when a pass has gone on without it; those that come together then share the next pass.

use std::collections::{BTreeMap, VecDeque};
use std::io::{Read, Seek};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bundle::{Decoder, Frame, Reader};

use crate::frames::{Frames, unpack};

/// The most frames of a pass that wait for the slowest card.
const WINDOW: usize = 8;
/// How long a card may hold up the others, in all.
const PATIENCE: Duration = Duration::from_secs(5);

/// Unpacks one bundle for many cards.
pub(super) struct Unpacker<R> {
    reader: Mutex<Reader<R>>,
    /// All frames, in the order in which cards need them.
    order: Vec<Frame>,
    patience: Duration,
    pass: Mutex<Option<Arc<Pass>>>,
    /// How many frames were unpacked, by anybody.
    unpacked: AtomicU64,
}

impl<R: Read + Seek + Send> Unpacker<R> {
    /// Starts without cards.
    pub fn new(reader: Reader<R>, order: Vec<Frame>) -> Self {
        Self {
            reader: Mutex::new(reader),
            order,
            patience: PATIENCE,
            pass: Mutex::default(),
            unpacked: AtomicU64::new(0),
        }
    }

    /// Returns the frames for one more card, which needs these. Those that join before the first of them has begun share a pass.
    pub fn join(&self, needed: &[Frame]) -> Share<'_, R> {
        let mut current = locked(&self.pass);
        let open = current
            .as_ref()
            .and_then(|pass| Some((pass.clone(), pass.join()?)));
        let (pass, card) = open.unwrap_or_else(|| {
            let pass = Arc::new(Pass::default());
            let card = pass.join().expect("a new pass is at its start");
            (current.insert(pass).clone(), card)
        });
        Share {
            of: self,
            pass,
            card,
            at: 0,
            end: needed
                .last()
                .and_then(|last| self.order.iter().position(|frame| frame == last))
                .map_or(self.order.len(), |last| last + 1),
            decoder: None,
        }
    }

    /// Uses the bundle itself, between two reads of frames.
    pub fn with_bundle<T>(&self, action: impl FnOnce(&mut Reader<R>) -> T) -> T {
        action(&mut locked(&self.reader))
    }

    /// Returns the number of frames that a card needs.
    pub fn frames(&self) -> u64 {
        self.order.len() as u64
    }

    /// Returns how many frames were unpacked, by anybody.
    pub fn unpacked(&self) -> u64 {
        self.unpacked.load(Ordering::Relaxed)
    }
}

/// A pass over the bundle that several cards share.
#[derive(Default)]
struct Pass {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The number of the first frame in the window.
    first: usize,
    window: VecDeque<Arc<Vec<u8>>>,
    /// Set while somebody unpacks the frame behind the window.
    unpacking: bool,
    /// The next frame of each card, and how long it has held up the others.
    cards: BTreeMap<u64, (usize, Duration)>,
    joined: u64,
    /// Set while somebody measures how long the slowest card holds up the others.
    measuring: bool,
}

/// What a card does for its next frame.
enum Step {
    /// It is there.
    Take(Arc<Vec<u8>>),
    /// This one is to be unpacked next, for all.
    Unpack(usize),
    /// The card is not part of the pass any more.
    Alone,
}

impl Pass {
    /// Adds a card, while no frame has left the window.
    fn join(&self) -> Option<u64> {
        let mut state = locked(&self.state);
        if state.first > 0 || state.joined > 0 && state.cards.is_empty() {
            return None;
        }
        state.joined += 1;
        let card = state.joined;
        state.cards.insert(card, (0, Duration::ZERO));
        Some(card)
    }

    /// Waits for frame `wanted`, which is not before an earlier one of this card.
    fn next(&self, card: u64, wanted: usize, patience: Duration) -> Step {
        let mut state = locked(&self.state);
        loop {
            match state.cards.get_mut(&card) {
                None => return Step::Alone,
                Some((at, _)) => *at = wanted,
            }
            self.trim(&mut state);
            if let Some(frame) = wanted
                .checked_sub(state.first)
                .and_then(|at| state.window.get(at))
                .cloned()
            {
                if let Some((at, _)) = state.cards.get_mut(&card) {
                    *at = wanted + 1;
                }
                self.trim(&mut state);
                return Step::Take(frame);
            }
            let has_room = state.window.len() < WINDOW;
            if has_room && !state.unpacking {
                state.unpacking = true;
                return Step::Unpack(state.first + state.window.len());
            }
            state = self.wait(state, !has_room, patience);
        }
    }

    /// Waits for a change; while the window is full, one of those who wait measures how long the slowest cards hold it up.
    fn wait<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        is_full: bool,
        patience: Duration,
    ) -> MutexGuard<'a, State> {
        if !is_full || state.measuring {
            return self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let (began, first) = (Instant::now(), state.first);
        state.measuring = true;
        let slowest: Vec<u64> = state
            .cards
            .iter()
            .filter(|(_, (at, _))| *at == first)
            .map(|(card, _)| *card)
            .collect();
        let held = slowest.iter().filter_map(|card| state.cards.get(card));
        let held = held.map(|(_, held)| *held).max().unwrap_or_default();
        let waited = self
            .changed
            .wait_timeout_while(state, patience.saturating_sub(held), |state| state.first == first);
        let (mut state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        state.measuring = false;
        let passed = began.elapsed();
        for card in &slowest {
            if let Some((_, held)) = state.cards.get_mut(card) {
                *held += passed;
            }
        }
        if timeout.timed_out() {
            state
                .cards
                .retain(|_, (at, held)| *at != first || *held < patience);
            self.trim(&mut state);
        }
        // Whoever waits without measuring may have to measure now.
        self.changed.notify_all();
        state
    }

    /// Adds a frame that somebody has unpacked, or allows somebody else to try.
    fn unpacked(&self, number: usize, frame: Option<Arc<Vec<u8>>>) {
        let mut state = locked(&self.state);
        state.unpacking = false;
        if let Some(frame) = frame
            && number == state.first + state.window.len()
        {
            state.window.push_back(frame);
        }
        self.trim(&mut state);
        self.changed.notify_all();
    }

    fn leave(&self, card: u64) {
        let mut state = locked(&self.state);
        state.cards.remove(&card);
        self.trim(&mut state);
        self.changed.notify_all();
    }

    /// Drops what every card has taken.
    fn trim(&self, state: &mut State) {
        let Some(least) = state.cards.values().map(|(at, _)| *at).min() else {
            state.window.clear();
            return;
        };
        if least > state.first {
            let passed = (least - state.first).min(state.window.len());
            state.window.drain(..passed);
            state.first = least;
            self.changed.notify_all();
        }
    }
}

/// The frames for one card.
pub(super) struct Share<'a, R> {
    of: &'a Unpacker<R>,
    pass: Arc<Pass>,
    card: u64,
    /// The number of the next frame that it may need.
    at: usize,
    /// The number behind the last one that it needs: after that it holds nobody up.
    end: usize,
    decoder: Option<Decoder>,
}

impl<R: Read + Seek + Send> Share<'_, R> {
    /// Unpacks a frame; only reading its bytes takes turns.
    fn unpack(&mut self, frame: &Frame) -> Result<Arc<Vec<u8>>, bundle::Error> {
        let decoder = match &mut self.decoder {
            Some(decoder) => decoder,
            none => none.insert(Decoder::new()?),
        };
        let mut stored = Vec::with_capacity(frame.stored_len as usize);
        let out = unpack(&self.of.reader, decoder, &mut stored, frame)?;
        self.of.unpacked.fetch_add(1, Ordering::Relaxed);
        Ok(out)
    }
}

impl<R: Read + Seek + Send> Frames for Share<'_, R> {
    fn unpacked(&mut self, frame: &Frame) -> Result<Arc<Vec<u8>>, bundle::Error> {
        let order = &self.of.order;
        let Some(ahead) = order[self.at..].iter().position(|other| other == frame) else {
            return self.unpack(frame);
        };
        let wanted = self.at + ahead;
        self.at = wanted + 1;
        loop {
            match self.pass.next(self.card, wanted, self.of.patience) {
                Step::Take(bytes) => {
                    if self.at >= self.end {
                        self.pass.leave(self.card);
                    }
                    return Ok(bytes);
                }
                Step::Alone => return self.unpack(frame),
                Step::Unpack(number) => {
                    let next = self.of.order[number];
                    let result = self.unpack(&next);
                    self.pass.unpacked(number, result.as_ref().ok().cloned());
                    result?;
                }
            }
        }
    }
}

impl<R> Drop for Share<'_, R> {
    fn drop(&mut self) {
        self.pass.leave(self.card);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
