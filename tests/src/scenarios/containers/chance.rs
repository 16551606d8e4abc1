//! What happens at random, and can be made again.

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};

use crate::scenario::Stage;

/// Takes the place of the clock, so that a run can be made again.
const SEED: &str = "BEDPLATE_SEED";

/// A source of chance with a seed.
pub struct Chance {
    seed: u64,
    generator: StdRng,
}

impl Chance {
    /// Takes the seed that is given, or a new one, and says it.
    pub fn new(stage: &Stage) -> Result<Chance> {
        let seed = match std::env::var(SEED) {
            Ok(seed) => seed
                .parse()
                .with_context(|| format!("{SEED}={seed} is no number"))?,
            Err(_) => SystemTime::UNIX_EPOCH.elapsed()?.as_secs(),
        };
        stage.shown(&format!("{SEED}={seed}"));
        let generator = StdRng::seed_from_u64(seed);
        Ok(Chance { seed, generator })
    }

    /// Adds to an error how to make the run again.
    pub fn again<T>(&self, outcome: Result<T>) -> Result<T> {
        outcome.with_context(|| format!("run it again with {SEED}={}", self.seed))
    }

    /// Returns a number below a bound.
    pub fn below(&mut self, bound: usize) -> usize {
        self.generator.random_range(0..bound.max(1))
    }

    /// Returns a time between two.
    pub fn between(&mut self, least: Duration, most: Duration) -> Duration {
        self.generator.random_range(least..=most)
    }

    /// Returns the numbers below a bound in random order.
    pub fn order(&mut self, bound: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..bound).collect();
        order.shuffle(&mut self.generator);
        order
    }
}
