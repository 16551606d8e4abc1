//! What a flash spends its time on.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

/// A part of the work. The one that took longest sets the pace: the others went on beside it, or waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Limit {
    /// Reading and checking the whole bundle, before anything is written.
    Bundle,
    /// Reading and unpacking the bundle again, while writing.
    Unpacking,
    /// Reading from the medium what is there already.
    Comparing,
    /// Writing to the medium.
    Writing,
    /// Reading back what was written.
    ReadingBack,
}

impl Limit {
    /// Returns what it is called in a sentence.
    pub fn words(self) -> &'static str {
        match self {
            Limit::Bundle => "checking the bundle",
            Limit::Unpacking => "unpacking the bundle",
            Limit::Comparing => "reading what is there already",
            Limit::Writing => "writing",
            Limit::ReadingBack => "reading back",
        }
    }
}

/// The time that went into each part. Parts that go on side by side may have more together than has gone by.
#[derive(Debug, Clone, Default)]
pub(crate) struct Busy(BTreeMap<Limit, Duration>);

impl Busy {
    /// Adds time.
    pub fn add(&mut self, limit: Limit, time: Duration) {
        *self.0.entry(limit).or_default() += time;
    }

    /// Adds all times of another.
    pub fn append(&mut self, other: Self) {
        other
            .0
            .into_iter()
            .for_each(|(limit, time)| self.add(limit, time));
    }

    /// Returns what took longest.
    pub fn longest(&self) -> Option<Limit> {
        self.0
            .iter()
            .max_by_key(|(_, sum)| **sum)
            .map(|(limit, _)| *limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_took_longest_limits() {
        let seconds = Duration::from_secs;
        let mut busy = Busy::default();
        assert_eq!(busy.longest(), None);
        busy.add(Limit::Bundle, seconds(4));
        busy.add(Limit::Writing, seconds(3));
        assert_eq!(busy.longest(), Some(Limit::Bundle));
        busy.add(Limit::Writing, seconds(3));
        busy.add(Limit::ReadingBack, seconds(5));
        assert_eq!(busy.longest(), Some(Limit::Writing));
    }
}
