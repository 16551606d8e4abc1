//! Whom a node has heard of on an interface.

use std::collections::BTreeMap;
use std::time::Duration;

use announcement::{Announcement, ClusterTag, News};
use tokio::time::Instant;

/// The most nodes that are remembered: whoever floods the network takes no memory.
pub(crate) const MOST: usize = 64;

/// Nodes of the same cluster, by their names on the network.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    known: BTreeMap<String, Known>,
}

#[derive(Debug)]
struct Known {
    announcement: Announcement,
    /// From when on it is asked for again before anybody else's question.
    half: Instant,
    /// When it is asked for again.
    ask: Instant,
    expires: Instant,
}

impl Peers {
    /// Takes news about nodes of a cluster. Returns true if something changed.
    pub(crate) fn take(&mut self, now: Instant, cluster: Option<&ClusterTag>, news: News) -> bool {
        match news {
            News::Gone { label } => self.known.remove(&label).is_some(),
            News::Here {
                announcement,
                seconds,
            } => {
                let label = announcement.label.clone();
                if cluster.is_none() || announcement.cluster.as_ref() != cluster {
                    return self.known.remove(&label).is_some();
                }
                if self.known.len() >= MOST && !self.known.contains_key(&label) {
                    return false;
                }
                let life = Duration::from_secs(seconds.into());
                // Not at the same moment on all nodes: the first one's question is answered for all.
                let ask = life.mul_f64(rand::random_range(0.8..0.9));
                let known = Known {
                    half: now + life / 2,
                    ask: now + ask,
                    expires: now + life,
                    announcement,
                };
                let before = self.known.get(&label);
                let changed = before.is_none_or(|before| before.announcement != known.announcement);
                self.known.insert(label, known);
                changed
            }
        }
    }

    /// Forgets those that were not heard of for too long. Returns true if there were any.
    pub(crate) fn expire(&mut self, now: Instant) -> bool {
        let before = self.known.len();
        self.known.retain(|_, known| now < known.expires);
        self.known.len() < before
    }

    /// Returns true if one is to be asked for again, and postpones its next time.
    pub(crate) fn ask(&mut self, now: Instant) -> bool {
        let mut any = false;
        for known in self.known.values_mut().filter(|known| known.ask <= now) {
            known.ask = now + (known.expires - now) / 2 + Duration::from_secs(1);
            any = true;
        }
        any
    }

    /// Returns when [`Peers::ask`] or [`Peers::expire`] has something to do.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.known
            .values()
            .map(|known| known.ask.min(known.expires))
            .min()
    }

    /// Lists those that need not be told again.
    pub(crate) fn fresh(&self, now: Instant) -> impl Iterator<Item = &str> {
        let fresh = self.known.iter().filter(move |(_, known)| now < known.half);
        fresh.map(|(label, _)| label.as_str())
    }

    /// Lists all.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Announcement> {
        self.known.values().map(|known| &known.announcement)
    }

    /// Forgets all. Returns true if there were any.
    pub(crate) fn clear(&mut self) -> bool {
        let any = !self.known.is_empty();
        self.known.clear();
        any
    }
}
