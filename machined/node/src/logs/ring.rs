//! A ring that many readers follow at their own pace.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

/// The newest items, up to a weight. Clones share them.
pub struct Ring<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    items: Mutex<Items<T>>,
    /// The number of the next item: what readers sleep on.
    next: watch::Sender<u64>,
    bell: Option<Bell>,
}

/// A bell that rings whenever this much has come.
#[derive(Clone)]
pub(super) struct Bell {
    pub every: usize,
    pub ring: Arc<Notify>,
}

struct Items<T> {
    queue: VecDeque<(T, usize)>,
    first: u64,
    weight: usize,
    limit: usize,
    /// What has come since the bell rang.
    since_bell: usize,
}

/// What a reader gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read<T> {
    /// The item's number; the first one ever has 0.
    pub number: u64,
    /// How many items before it were dropped because this reader was too slow.
    pub dropped: u64,
    /// The item.
    pub item: T,
}

/// A reader that follows a ring.
pub struct Reader<T> {
    ring: Ring<T>,
    next: u64,
    bell: watch::Receiver<u64>,
}

impl<T> Clone for Ring<T> {
    fn clone(&self) -> Self {
        Ring {
            shared: self.shared.clone(),
        }
    }
}

impl<T: Clone> Ring<T> {
    /// Makes a ring that keeps items of at most this weight together.
    pub fn new(limit: usize) -> Self {
        Self::with_bell(limit, None)
    }

    /// Makes a ring that tells whenever much has come.
    pub(super) fn with_bell(limit: usize, bell: Option<Bell>) -> Self {
        let items = Items {
            queue: VecDeque::new(),
            first: 0,
            weight: 0,
            limit,
            since_bell: 0,
        };
        Ring {
            shared: Arc::new(Shared {
                items: Mutex::new(items),
                next: watch::channel(0).0,
                bell,
            }),
        }
    }

    /// Appends an item, and drops the oldest ones that no longer fit.
    pub fn push(&self, item: T, weight: usize) {
        let mut items = self.items();
        items.queue.push_back((item, weight));
        items.weight += weight;
        while items.weight > items.limit && items.queue.len() > 1 {
            let dropped = items.queue.pop_front().map_or(0, |(_, weight)| weight);
            items.weight -= dropped;
            items.first += 1;
        }
        items.since_bell += weight;
        let bell = self
            .shared
            .bell
            .as_ref()
            .filter(|bell| items.since_bell >= bell.every);
        if bell.is_some() {
            items.since_bell = 0;
        }
        let next = items.next();
        drop(items);
        self.shared.next.send_replace(next);
        if let Some(bell) = bell {
            bell.ring.notify_one();
        }
    }

    /// Follows the ring from its last `tail` items on, or from the oldest.
    pub fn reader(&self, tail: Option<usize>) -> Reader<T> {
        let bell = self.shared.next.subscribe();
        let items = self.items();
        let next = match tail {
            Some(tail) => items.next().saturating_sub(tail as u64).max(items.first),
            None => items.first,
        };
        drop(items);
        Reader {
            ring: self.clone(),
            next,
            bell,
        }
    }

    fn items(&self) -> MutexGuard<'_, Items<T>> {
        self.shared.items.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Items<T> {
    fn next(&self) -> u64 {
        self.first + self.queue.len() as u64
    }
}

impl<T: Clone> Reader<T> {
    /// Takes the next item, if there is one already.
    pub fn try_next(&mut self) -> Option<Read<T>> {
        let items = self.ring.items();
        let dropped = items.first.saturating_sub(self.next);
        let number = self.next + dropped;
        let index = usize::try_from(number - items.first).ok()?;
        let item = items.queue.get(index)?.0.clone();
        drop(items);
        self.next = number + 1;
        Some(Read {
            number,
            dropped,
            item,
        })
    }

    /// Waits for the next item. Cancel safe.
    pub async fn next(&mut self) -> Read<T> {
        loop {
            self.bell.mark_unchanged();
            if let Some(read) = self.try_next() {
                return read;
            }
            if self.bell.changed().await.is_err() {
                // We hold the ring, which holds the sender: this cannot end before we do.
                std::future::pending::<()>().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_newest_and_counts_the_dropped() {
        let ring = Ring::new(3);
        let mut slow = ring.reader(None);
        for item in 0..5 {
            ring.push(item, 1);
        }
        assert_eq!(
            slow.try_next(),
            Some(Read {
                number: 2,
                dropped: 2,
                item: 2
            })
        );
        assert_eq!(
            slow.try_next(),
            Some(Read {
                number: 3,
                dropped: 0,
                item: 3
            })
        );
        let mut tail = ring.reader(Some(1));
        assert_eq!(tail.try_next().unwrap().item, 4);
        assert_eq!(tail.try_next(), None);
        assert_eq!(ring.reader(Some(100)).try_next().unwrap().item, 2);
    }

    #[test]
    fn one_item_is_kept_however_heavy() {
        let ring = Ring::new(3);
        ring.push("heavy", 100);
        assert_eq!(ring.reader(None).try_next().unwrap().item, "heavy");
    }

    #[tokio::test]
    async fn a_reader_waits_for_what_comes() {
        let ring = Ring::new(10);
        let mut reader = ring.reader(None);
        let wait = tokio::spawn(async move { reader.next().await });
        tokio::task::yield_now().await;
        ring.push("new", 1);
        assert_eq!(wait.await.unwrap().item, "new");
    }
}
