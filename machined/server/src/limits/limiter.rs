//! Hands out places, and tells those who have to go.

use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::{CancellationToken, DropGuard};

use super::places::{Bounds, Places};

/// Hands out places under keys. Clones share them.
#[derive(Debug)]
pub struct Limiter<K> {
    /// Dropping a guard gives its holder notice.
    places: Arc<Mutex<Places<K, DropGuard>>>,
}

/// A place, for as long as it is kept. Its holder watches [`Ticket::lost`] and goes when told.
#[derive(Debug)]
pub struct Ticket<K: Clone + Eq + Hash> {
    id: u64,
    lost: CancellationToken,
    limiter: Limiter<K>,
}

impl<K> Clone for Limiter<K> {
    fn clone(&self) -> Self {
        Self {
            places: self.places.clone(),
        }
    }
}

impl<K: Clone + Eq + Hash> Limiter<K> {
    /// Starts with all places free.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            places: Arc::new(Mutex::new(Places::new(bounds))),
        }
    }

    /// Takes a place. There always is one: somebody else may lose theirs for it.
    pub fn enter(&self, key: K) -> Ticket<K> {
        let lost = CancellationToken::new();
        let (id, _told_by_this_drop) = self.places().admit(key, lost.clone().drop_guard());
        Ticket {
            id,
            lost,
            limiter: self.clone(),
        }
    }

    /// Returns how many places are held.
    pub fn held(&self) -> usize {
        self.places().len()
    }

    fn places(&self) -> MutexGuard<'_, Places<K, DropGuard>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone + Eq + Hash> Ticket<K> {
    /// Waits until the place is lost to somebody else.
    ///
    /// Cancel safe.
    pub async fn lost(&self) {
        self.lost.cancelled().await;
    }
}

impl<K: Clone + Eq + Hash> Drop for Ticket<K> {
    fn drop(&mut self) {
        self.limiter.places().leave(self.id);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn the_one_who_makes_room_is_told_and_a_ticket_gives_its_place_back() {
        let limiter = Limiter::new(Bounds { all: 2, each: 2 });
        let first = limiter.enter('a');
        let second = limiter.enter('a');
        assert!(first.lost().now_or_never().is_none());
        let third = limiter.enter('b');
        first.lost().await;
        assert!(second.lost().now_or_never().is_none());
        drop((first, third));
        assert_eq!(limiter.held(), 1);
    }
}
