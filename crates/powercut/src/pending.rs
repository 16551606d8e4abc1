//! The possible outcomes of writes that no sync has covered yet.

use std::collections::HashSet;
use std::error::Error;

use crate::image::{Image, SECTOR};
use crate::random::Random;
use crate::recorder::Write;
use crate::state::{Broken, How, Options, State, Tally};

/// A write that may still be in a cache.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pending<'a> {
    /// Its number in the recording.
    pub number: usize,
    /// What was written.
    pub write: &'a Write,
}

/// Generates states, and visits each different one once.
pub(crate) struct Explorer<'a, F> {
    pub options: &'a Options,
    pub random: Random,
    shown: HashSet<u128>,
    pub tally: Tally,
    pub syncs: usize,
    visit: F,
}

impl<'a, E: Error, F: FnMut(&State) -> Result<(), E>> Explorer<'a, F> {
    /// Starts without any states.
    pub fn new(options: &'a Options, visit: F) -> Self {
        Explorer {
            options,
            random: Random::new(options.seed),
            shown: HashSet::new(),
            tally: Tally::new(options),
            syncs: 0,
            visit,
        }
    }

    /// Counts a state, and visits it if it is new.
    pub fn show(&mut self, image: &Image, how: impl FnOnce() -> How) -> Result<(), Broken<E>> {
        self.tally.generated += 1;
        if !self.shown.insert(image.digest()) {
            return Ok(());
        }
        self.tally.distinct += 1;
        let state = State {
            image: image.clone(),
            how: how(),
            syncs: self.syncs,
        };
        (self.visit)(&state).map_err(|source| Broken {
            how: state.how,
            syncs: state.syncs,
            seed: self.options.seed,
            source,
        })
    }
}

impl<E: Error + 'static, F: FnMut(&State) -> Result<(), E>> Explorer<'_, F> {
    /// Tears the write in flight.
    pub fn torn(&mut self, before: &Image, number: usize, write: &Write) -> Result<(), Broken<E>> {
        let sectors = write.sectors();
        let mut front = before.clone();
        for sector in sectors.clone() {
            let kept = sector - sectors.start;
            if self.options.noise {
                let mut noisy = front.clone();
                let at = sector * SECTOR as u64;
                let len = SECTOR.min((noisy.len() - at) as usize);
                noisy.write(at, &self.random.bytes(len));
                self.show(&noisy, || How::Noise(number, kept))?;
            }
            if kept > 0 {
                self.show(&front, || How::Front(number, kept))?;
            }
            write.apply_sectors(&mut front, sector..sector + 1);
        }
        let mut back = before.clone();
        for sector in (sectors.start + 1..sectors.end).rev() {
            write.apply_sectors(&mut back, sector..sector + 1);
            self.show(&back, || How::Back(number, sectors.end - sector))?;
        }
        Ok(())
    }

    /// Loses some of the writes, and reorders them.
    pub fn lost(&mut self, durable: &Image, pending: &[Pending<'_>]) -> Result<(), Broken<E>> {
        if pending.len() <= self.options.exhaustive {
            self.subsets(durable, durable, pending, Vec::new())?;
        } else {
            self.drops_and_survivors(durable, pending)?;
            self.subsets_by_chance(durable, pending)?;
        }
        self.sectors_by_chance(durable, pending)
    }

    /// Generates every subset of the writes; when some overlap, in reverse order as well. `image` holds what is `kept`.
    fn subsets(
        &mut self,
        durable: &Image,
        image: &Image,
        left: &[Pending<'_>],
        kept: Vec<Pending<'_>>,
    ) -> Result<(), Broken<E>> {
        let Some((next, left)) = left.split_first() else {
            if kept.is_empty() {
                // Visited before anything was written.
                return Ok(());
            }
            if overlap(&kept) {
                let turned = kept.iter().rev().copied().collect::<Vec<_>>();
                self.show(&applied(durable, &turned), || How::Only(numbers(&turned)))?;
            }
            return self.show(image, || How::Only(numbers(&kept)));
        };
        self.subsets(durable, image, left, kept.clone())?;
        let mut with = image.clone();
        next.write.apply(&mut with);
        self.subsets(durable, &with, left, [kept, vec![*next]].concat())
    }

    /// Loses each write alone, and lets each one survive alone.
    fn drops_and_survivors(&mut self, durable: &Image, pending: &[Pending<'_>]) -> Result<(), Broken<E>> {
        let mut before = durable.clone();
        for (index, one) in pending.iter().enumerate() {
            self.show(&applied(durable, &[*one]), || How::Only(vec![one.number]))?;
            let (earlier, later) = (&pending[..index], &pending[index + 1..]);
            self.show(&applied(&before, later), || {
                How::Only(numbers(&[earlier, later].concat()))
            })?;
            one.write.apply(&mut before);
        }
        Ok(())
    }

    fn subsets_by_chance(&mut self, durable: &Image, pending: &[Pending<'_>]) -> Result<(), Broken<E>> {
        for _ in 0..self.options.samples {
            let (mut kept, percent) = self.cut(pending);
            kept.retain(|_| self.random.chance(percent));
            self.random.shuffle(&mut kept);
            self.show(&applied(durable, &kept), || How::Only(numbers(&kept)))?;
        }
        Ok(())
    }

    fn sectors_by_chance(&mut self, durable: &Image, pending: &[Pending<'_>]) -> Result<(), Broken<E>> {
        let sectors: u64 = pending.iter().map(|one| one.write.sectors().count() as u64).sum();
        // What a single sector can hold was visited already.
        let samples = if sectors < 2 { 0 } else { self.options.samples };
        for attempt in 0..samples {
            let (mut some, percent) = self.cut(pending);
            let last = some.last().map_or(0, |one| one.number);
            self.random.shuffle(&mut some);
            let mut image = durable.clone();
            for one in some {
                self.some_sectors(&mut image, one.write, percent);
            }
            self.show(&image, || How::Sectors(last, attempt))?;
        }
        Ok(())
    }

    /// Writes runs of a write's sectors to the medium, so that about `percent` of them arrive.
    fn some_sectors(&mut self, image: &mut Image, write: &Write, percent: usize) {
        let mut at = write.sectors().start;
        let end = write.sectors().end;
        while at < end {
            // A cache writes back pages in any order, seldom single sectors.
            let run = [1, 8, 64][self.random.below(3)].min(end - at);
            if self.random.chance(percent) {
                write.apply_sectors(image, at..at + run);
            }
            at += run;
        }
    }

    /// Picks the time of the cut, and how much of the pending writes arrived.
    fn cut<'a>(&mut self, pending: &[Pending<'a>]) -> (Vec<Pending<'a>>, usize) {
        let cut = if self.random.chance(50) {
            pending.len()
        } else {
            1 + self.random.below(pending.len())
        };
        (pending[..cut].to_vec(), [10, 50, 90, 99][self.random.below(4)])
    }
}

/// Applies writes in the order given.
fn applied(image: &Image, writes: &[Pending<'_>]) -> Image {
    let mut image = image.clone();
    for one in writes {
        one.write.apply(&mut image);
    }
    image
}

fn numbers(writes: &[Pending<'_>]) -> Vec<usize> {
    writes.iter().map(|one| one.number).collect()
}

/// Returns true if the order of the writes can make a difference.
fn overlap(writes: &[Pending<'_>]) -> bool {
    let earlier = |(index, one): (usize, &Pending<'_>)| {
        writes[..index]
            .iter()
            .any(|other| one.write.overlaps(other.write))
    };
    writes.iter().enumerate().any(earlier)
}
