//! What a medium may hold after a power cut, and how that came about.

use std::fmt;
use std::ops::AddAssign;

use crate::image::Image;

/// How far to go.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// What decides where chance does. Printed with every figure and every fault.
    pub seed: u64,
    /// Up to so many writes between two syncs, all their subsets are taken.
    pub exhaustive: usize,
    /// States by chance, for each run of writes between two syncs.
    pub samples: usize,
    /// Set when the sector that was being written may hold noise, as on media that promise nothing.
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
    /// Of the writes that no sync has vouched for only these arrived, in this order.
    Only(Vec<usize>),
    /// Of the writes that no sync has vouched for, up to this one, each sector arrived or not, by chance: the attempt of
    /// this number.
    Sectors(usize, usize),
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
            How::Only(writes) => write!(f, "with writes {writes:?} alone of those that wait for a sync"),
            How::Sectors(last, attempt) => write!(
                f,
                "with some sectors of what waits for a sync up to write {last} (attempt {attempt})"
            ),
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
