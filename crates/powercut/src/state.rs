//! What a medium may hold after a power cut, and how that came about.

use std::fmt;
use std::ops::AddAssign;

use crate::image::Image;

/// How many states to generate.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The seed of random choices. Printed with every result and every failure.
    pub seed: u64,
    /// Up to this many writes between two syncs, all their subsets are generated.
    pub exhaustive: usize,
    /// The number of random states for each run of writes between two syncs.
    pub samples: usize,
    /// Set when the sector that was being written may hold noise, as on media without guarantees.
    pub noise: bool,
}

impl Options {
    /// The environment variable with another seed.
    pub const SEED: &str = "BEDPLATE_POWERCUT_SEED";

    /// Returns the defaults: the same seed at each run, unless the environment has another.
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

    /// Sets the number of random states.
    pub fn samples(self, samples: usize) -> Self {
        Self { samples, ..self }
    }
}

/// How a state came about. Writes are counted from 0, over the whole recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// After this many writes, all of which arrived.
    After(usize),
    /// The first sectors of a write arrived, and all writes before it.
    Front(usize, u64),
    /// The last sectors of a write arrived, and all writes before it.
    Back(usize, u64),
    /// As [`Front`](Self::Front), and the sector after them holds noise.
    Noise(usize, u64),
    /// Of the writes since the last sync only these arrived, in this order.
    Only(Vec<usize>),
    /// Of the writes since the last sync, up to this one, random sectors arrived: the attempt with this number.
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
            How::Only(writes) => write!(f, "with writes {writes:?} alone of those since the last sync"),
            How::Sectors(last, attempt) => write!(
                f,
                "with some sectors of the writes since the last sync up to write {last} (attempt {attempt})"
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
    /// The number of syncs before.
    pub syncs: usize,
}

/// The number of states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// All that were generated.
    pub generated: u64,
    /// The different ones among them.
    pub distinct: u64,
    /// The seed of random choices.
    pub seed: u64,
}

impl Tally {
    /// Starts at zero.
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

/// A state in which a property does not hold.
#[derive(Debug, thiserror::Error)]
#[error("power was cut {how}, with {syncs} syncs before (seed {seed})")]
pub struct Broken<E: std::error::Error + 'static> {
    /// How the state came about.
    pub how: How,
    /// The number of syncs before.
    pub syncs: usize,
    /// The seed of random choices.
    pub seed: u64,
    /// What does not hold.
    pub source: E,
}
