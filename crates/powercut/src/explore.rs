//! Every content that a medium may have after a power cut.
//!
//! Between two syncs nothing is certain: each sector may hold any of the versions that were written to it since the
//! first of them, or what it held before. Those are too many to list, so they are taken in this order:
//! every prefix of the writes; the write in flight torn before and after each of its sectors, and with a sector of
//! noise where it stopped; all subsets of the writes between two syncs when they are few, and otherwise each write
//! lost alone, each one surviving alone, and subsets by chance; and sectors by chance.

use std::collections::HashSet;
use std::convert::Infallible;
use std::fmt;
use std::ops::AddAssign;

use crate::image::{Image, SECTOR};
use crate::random::Random;
use crate::recorder::{Event, Recording, Write};

/// How far to go.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// What decides where chance does. Printed with every figure and every fault.
    pub seed: u64,
    /// Up to so many writes between two syncs, all their subsets are taken.
    pub exhaustive: usize,
    /// States by chance, for each run of writes between two syncs.
    pub samples: usize,
    /// Whether the sector that was being written may hold noise, as on media that promise nothing.
    pub noise: bool,
}

impl Options {
    /// The environment variable that holds another seed.
    pub const SEED: &str = "BEDPLATE_POWERCUT_SEED";

    /// Returns what is usual: the same seed at each run, unless the environment has another.
    pub fn from_env() -> Self {
        let seed = std::env::var(Self::SEED).ok();
        let seed = seed.map(|text| text.parse().expect("the seed is a number"));
        Self {
            seed: seed.unwrap_or(20_261_123),
            exhaustive: 10,
            samples: 200,
            noise: true,
        }
    }

    /// Sets how many states are taken by chance.
    pub fn samples(self, samples: usize) -> Self {
        Self { samples, ..self }
    }
}

/// How a state came about. Writes are counted from 0, over the whole recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// After so many writes, all of which arrived.
    After(usize),
    /// The first so many sectors of a write arrived, and all writes before it.
    Front(usize, u64),
    /// The last so many sectors of a write arrived, and all writes before it.
    Back(usize, u64),
    /// As [`Front`](Self::Front), and the sector after them holds noise.
    Noise(usize, u64),
    /// Of the writes after a sync only these arrived, in this order.
    Only(Vec<usize>),
    /// Of the writes after a sync each sector arrived or not, by chance: the writes' first, one past their last, and
    /// the number of the attempt.
    Sectors(usize, usize, usize),
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            How::After(writes) => write!(f, "after {writes} writes"),
            How::Front(write, kept) => {
                write!(f, "in write {write}, of which the first {kept} sectors arrived")
            }
            How::Back(write, kept) => write!(f, "in write {write}, of which the last {kept} sectors arrived"),
            How::Noise(write, kept) => {
                write!(
                    f,
                    "in write {write}, of which {kept} sectors arrived and the next is noise"
                )
            }
            How::Only(writes) => write!(f, "with writes {writes:?} alone since the last sync"),
            How::Sectors(from, to, attempt) => {
                write!(
                    f,
                    "with some sectors of writes {from} to {to} (attempt {attempt})"
                )
            }
        }
    }
}

/// What the medium may hold after a power cut.
#[derive(Debug, Clone)]
pub struct State {
    /// Its content.
    pub image: Image,
    /// How that came about.
    pub how: How,
    /// Syncs that were done before.
    pub syncs: usize,
}

/// How many states there were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// All that were made.
    pub generated: u64,
    /// Those of them that differ from each other.
    pub distinct: u64,
    /// What decided where chance did.
    pub seed: u64,
}

impl Tally {
    /// Nothing yet.
    pub fn new(options: &Options) -> Self {
        Self {
            generated: 0,
            distinct: 0,
            seed: options.seed,
        }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, more: Self) {
        self.generated += more.generated;
        self.distinct += more.distinct;
    }
}

/// A state in which something does not hold.
#[derive(Debug, thiserror::Error)]
#[error("the power went {how}, with {syncs} syncs before (seed {seed})")]
pub struct Broken<E: std::error::Error + 'static> {
    /// How the state came about.
    pub how: How,
    /// Syncs that were done before.
    pub syncs: usize,
    /// What decided where chance did.
    pub seed: u64,
    /// What does not hold.
    pub source: E,
}

/// Makes every state, and shows each different one to `visit`, until one is found in which something does not hold.
pub fn explore<E: std::error::Error + 'static>(
    recording: &Recording,
    options: &Options,
    visit: impl FnMut(&State) -> Result<(), E>,
) -> Result<Tally, Broken<E>> {
    let mut explorer = Explorer {
        options,
        random: Random::new(options.seed),
        seen: HashSet::new(),
        tally: Tally::new(options),
        syncs: 0,
        visit,
    };
    explorer.show(&recording.before, || How::After(0))?;
    let (mut durable, mut first) = (recording.before.clone(), 0);
    for since in recording.events.split(|event| matches!(event, Event::Sync)) {
        let writes = since.iter().filter_map(|event| match event {
            Event::Write(write) => Some(write),
            Event::Sync => None,
        });
        let writes = writes.collect::<Vec<_>>();
        explorer.between_syncs(&durable, first, &writes)?;
        for write in &writes {
            write.apply(&mut durable);
        }
        first += writes.len();
        explorer.syncs += 1;
    }
    Ok(explorer.tally)
}

/// Lists the states, without asking anything of them.
pub fn states(recording: &Recording, options: &Options) -> (Vec<State>, Tally) {
    let mut states = Vec::new();
    let collect = |state: &State| {
        states.push(state.clone());
        Ok::<_, Infallible>(())
    };
    match explore(recording, options, collect) {
        Ok(tally) => (states, tally),
        Err(broken) => match broken.source {},
    }
}

struct Explorer<'a, F> {
    options: &'a Options,
    random: Random,
    seen: HashSet<u128>,
    tally: Tally,
    syncs: usize,
    visit: F,
}

impl<E: std::error::Error, F: FnMut(&State) -> Result<(), E>> Explorer<'_, F> {
    fn show(&mut self, image: &Image, how: impl FnOnce() -> How) -> Result<(), Broken<E>> {
        self.tally.generated += 1;
        if !self.seen.insert(image.digest()) {
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

    /// Shows what there may be while these writes are on their way. `first` is the number of the first one.
    fn between_syncs(&mut self, durable: &Image, first: usize, writes: &[&Write]) -> Result<(), Broken<E>> {
        let mut so_far = durable.clone();
        for (number, write) in writes.iter().enumerate() {
            self.torn(&so_far, first + number, write)?;
            write.apply(&mut so_far);
            self.show(&so_far, || How::After(first + number + 1))?;
        }
        if writes.len() <= self.options.exhaustive {
            self.subsets(durable, first, writes, Vec::new(), 0)?;
        } else {
            self.drops_and_survivors(durable, first, writes)?;
            self.subsets_by_chance(durable, first, writes)?;
        }
        self.sectors_by_chance(durable, first, writes)
    }

    /// Tears the write in flight.
    fn torn(&mut self, before: &Image, number: usize, write: &Write) -> Result<(), Broken<E>> {
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

    /// Takes every subset of the writes; when some overlap, in the opposite order, too.
    fn subsets(
        &mut self,
        image: &Image,
        first: usize,
        writes: &[&Write],
        kept: Vec<usize>,
        next: usize,
    ) -> Result<(), Broken<E>> {
        let Some(write) = writes.get(next) else {
            if let Some(turned) = self.turned(image, first, writes, &kept) {
                self.show(&turned, || How::Only(kept.iter().rev().copied().collect()))?;
            }
            return self.show(image, || How::Only(kept));
        };
        self.subsets(image, first, writes, kept.clone(), next + 1)?;
        let mut with = image.clone();
        write.apply(&mut with);
        let kept = [kept, vec![first + next]].concat();
        self.subsets(&with, first, writes, kept, next + 1)
    }

    /// Applies the kept writes in the opposite order, when that can make a difference. Whatever else they overwrite,
    /// each sector they touch ends with one of their versions, so they can go on top of `image`.
    fn turned(&self, image: &Image, first: usize, writes: &[&Write], kept: &[usize]) -> Option<Image> {
        let kept = kept
            .iter()
            .map(|number| writes[number - first])
            .collect::<Vec<_>>();
        let overlapping =
            |(index, one): (usize, &&Write)| kept[..index].iter().any(|other| one.overlaps(other));
        if !kept.iter().enumerate().any(overlapping) {
            return None;
        }
        let mut turned = image.clone();
        for write in kept.iter().rev() {
            write.apply(&mut turned);
        }
        Some(turned)
    }

    /// Loses each write alone, and lets each one survive alone.
    fn drops_and_survivors(
        &mut self,
        durable: &Image,
        first: usize,
        writes: &[&Write],
    ) -> Result<(), Broken<E>> {
        let mut before = durable.clone();
        for (number, write) in writes.iter().enumerate() {
            let mut alone = durable.clone();
            write.apply(&mut alone);
            self.show(&alone, || How::Only(vec![first + number]))?;

            let mut without = before.clone();
            for later in &writes[number + 1..] {
                later.apply(&mut without);
            }
            let others = || (0..writes.len()).filter(|other| *other != number);
            self.show(&without, || {
                How::Only(others().map(|other| first + other).collect())
            })?;
            write.apply(&mut before);
        }
        Ok(())
    }

    fn subsets_by_chance(
        &mut self,
        durable: &Image,
        first: usize,
        writes: &[&Write],
    ) -> Result<(), Broken<E>> {
        for _ in 0..self.options.samples {
            let (cut, percent) = self.cut(writes.len());
            let mut kept: Vec<usize> = (0..cut).filter(|_| self.random.chance(percent)).collect();
            self.random.shuffle(&mut kept);
            let mut image = durable.clone();
            for number in &kept {
                writes[*number].apply(&mut image);
            }
            self.show(&image, || {
                How::Only(kept.iter().map(|number| first + number).collect())
            })?;
        }
        Ok(())
    }

    fn sectors_by_chance(
        &mut self,
        durable: &Image,
        first: usize,
        writes: &[&Write],
    ) -> Result<(), Broken<E>> {
        let sectors: u64 = writes.iter().map(|write| write.sectors().count() as u64).sum();
        // What a single sector can hold was shown already.
        let samples = if sectors < 2 { 0 } else { self.options.samples };
        for attempt in 0..samples {
            let (cut, percent) = self.cut(writes.len());
            let mut order: Vec<usize> = (0..cut).collect();
            self.random.shuffle(&mut order);
            let mut image = durable.clone();
            for number in order {
                self.some_sectors(&mut image, writes[number], percent);
            }
            self.show(&image, || How::Sectors(first, first + cut, attempt))?;
        }
        Ok(())
    }

    /// Puts runs of a write's sectors on the medium, so that about `percent` of them arrive.
    fn some_sectors(&mut self, image: &mut Image, write: &Write, percent: usize) {
        let mut at = write.sectors().start;
        let end = write.sectors().end;
        while at < end {
            // A cache writes back pages of its own choice, seldom single sectors.
            let run = [1, 8, 64][self.random.below(3)].min(end - at);
            if self.random.chance(percent) {
                write.apply_sectors(image, at..at + run);
            }
            at += run;
        }
    }

    /// Picks a moment within a run of writes, and how much of what was on its way arrived.
    fn cut(&mut self, writes: usize) -> (usize, usize) {
        let cut = if self.random.chance(50) {
            writes
        } else {
            1 + self.random.below(writes)
        };
        (cut.min(writes), [10, 50, 90, 99][self.random.below(4)])
    }
}
