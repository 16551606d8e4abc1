//! How often somebody may ask. Pure: callers bring the time.

use std::collections::HashMap;
use std::time::Duration;

use server::limits::Source;

/// Attempts that a newcomer may make at once.
const BURST: u32 = 8;
/// Time after which one more may be made.
const REFILL: Duration = Duration::from_secs(5);
/// The most sources that are remembered. Beyond them whoever was longest away is forgotten, which costs a flood of sources
/// as many addresses.
const MAX_SOURCES: usize = 1024;

/// Counts attempts by where they come from.
#[derive(Debug, Default)]
pub struct Attempts {
    sources: HashMap<Source, Bucket>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: u32,
    /// When it last got one more.
    filled: Duration,
}

impl Attempts {
    /// Takes an attempt, `now` after some fixed moment. Returns false if the source has none left.
    pub fn take(&mut self, source: Source, now: Duration) -> bool {
        if !self.sources.contains_key(&source) && self.sources.len() >= MAX_SOURCES {
            let longest = self.sources.iter().min_by_key(|(_, bucket)| bucket.filled);
            if let Some(source) = longest.map(|(source, _)| *source) {
                self.sources.remove(&source);
            }
        }
        let bucket = self.sources.entry(source).or_insert(Bucket {
            left: BURST,
            filled: now,
        });
        let since = now.saturating_sub(bucket.filled);
        let more = u32::try_from(since.as_secs() / REFILL.as_secs()).unwrap_or(u32::MAX);
        if more > 0 {
            bucket.left = bucket.left.saturating_add(more).min(BURST);
            bucket.filled = now;
        }
        match bucket.left {
            0 => false,
            left => {
                bucket.left = left - 1;
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn source(number: u32) -> Source {
        IpAddr::from(Ipv4Addr::from_bits(number)).into()
    }

    #[test]
    fn each_source_has_its_own_attempts_and_gets_them_back() {
        let mut attempts = Attempts::default();
        let start = Duration::from_secs(1000);
        let taken = (0..100).filter(|_| attempts.take(source(1), start)).count();
        assert_eq!(taken, 8);
        assert!(attempts.take(source(2), start), "nobody pays for others");
        assert!(!attempts.take(source(1), start + Duration::from_secs(4)));
        assert!(attempts.take(source(1), start + Duration::from_secs(5)));
        assert!(!attempts.take(source(1), start + Duration::from_secs(5)));
        let later = start + Duration::from_secs(3600);
        let taken = (0..100).filter(|_| attempts.take(source(1), later)).count();
        assert_eq!(taken, 8, "and never more than at first");
    }

    #[test]
    fn a_flood_of_sources_costs_no_memory() {
        let mut attempts = Attempts::default();
        for number in 0..50_000 {
            attempts.take(source(number), Duration::from_millis(number.into()));
        }
        assert_eq!(attempts.sources.len(), MAX_SOURCES);
    }
}
