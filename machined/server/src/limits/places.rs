//! Decides who gets a place, and who makes room. Pure.
//!
//! A newcomer always gets one: a stranger who sits still must not keep anybody out. What it costs is paid by whoever
//! holds most. So a thousand sockets from one address compete with each other, and a single one from elsewhere goes
//! only when there are more sources than places, and then as the oldest.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// How many places there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// For all together; at least one.
    pub all: usize,
    /// For those of one key.
    pub each: usize,
}

/// Places that are held under keys, each with something of its holder's.
#[derive(Debug)]
pub struct Places<K, T> {
    bounds: Bounds,
    /// The oldest first.
    held: VecDeque<Held<K, T>>,
    next: u64,
}

#[derive(Debug)]
struct Held<K, T> {
    id: u64,
    key: K,
    holder: T,
}

impl<K: Clone + Eq + Hash, T> Places<K, T> {
    /// Starts with all places free.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            held: VecDeque::new(),
            next: 0,
        }
    }

    /// Returns how many are held.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Returns whether none is held.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Gives a place, and returns its number; where there was no room, also who has lost theirs for it.
    pub fn admit(&mut self, key: K, holder: T) -> (u64, Option<T>) {
        let leaver = self.leaver(&key).and_then(|index| self.held.remove(index));
        let id = self.next;
        self.next += 1;
        self.held.push_back(Held { id, key, holder });
        (id, leaver.map(|held| held.holder))
    }

    /// Takes a place back; one that was lost already is left alone.
    pub fn leave(&mut self, id: u64) {
        if let Ok(index) = self.held.binary_search_by_key(&id, |held| held.id) {
            self.held.remove(index);
        }
    }

    /// Chooses who makes room for a newcomer with that key, if anybody has to: the oldest of its own key when that
    /// has its share, else the oldest of those keys that hold most, the newcomer counted.
    fn leaver(&self, key: &K) -> Option<usize> {
        let mut counts: HashMap<&K, usize> = HashMap::from([(key, 1)]);
        for held in &self.held {
            *counts.entry(&held.key).or_default() += 1;
        }
        let oldest = |wanted: &dyn Fn(&K) -> bool| self.held.iter().position(|held| wanted(&held.key));
        if counts[key] > self.bounds.each {
            return oldest(&|other| other == key);
        }
        if self.held.len() < self.bounds.all {
            return None;
        }
        let most = self.held.iter().map(|held| counts[&held.key]).max()?;
        oldest(&|other| counts[other] == most)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn places(all: usize, each: usize) -> Places<char, char> {
        Places::new(Bounds { all, each })
    }

    fn admit(places: &mut Places<char, char>, keys: &str) -> Vec<Option<char>> {
        keys.chars().map(|key| places.admit(key, key).1).collect()
    }

    #[test]
    fn each_key_has_its_share_and_the_newest_of_it_stay() {
        let mut places: Places<char, u32> = Places::new(Bounds { all: 9, each: 2 });
        let left: Vec<_> = (0..4).map(|number| places.admit('a', number).1).collect();
        assert_eq!(left, [None, None, Some(0), Some(1)]);
    }

    #[test]
    fn whoever_holds_most_makes_room() {
        let mut places = places(6, 4);
        admit(&mut places, "aaabbc");
        assert_eq!(admit(&mut places, "d"), [Some('a')]);
        assert_eq!(
            admit(&mut places, "a"),
            [Some('a')],
            "with its own place it holds most"
        );
        assert_eq!(admit(&mut places, "efgh").len(), 4);
        assert_eq!(places.len(), 6);
    }

    #[test]
    fn a_place_that_was_lost_is_not_taken_back_twice() {
        let mut places = places(1, 1);
        let (first, _) = places.admit('a', 'a');
        let (second, left) = places.admit('b', 'b');
        assert_eq!(left, Some('a'));
        places.leave(first);
        assert_eq!(places.len(), 1);
        places.leave(second);
        assert!(places.is_empty());
    }

    proptest! {
        /// However many crowd in, a key that holds one place keeps it while any other holds more.
        #[test]
        fn one_place_outlasts_the_crowd(
            crowd in prop::collection::vec(prop::char::range('b', 'f'), 0..200),
            all in 7_usize..20,
            each in 1_usize..20,
        ) {
            let mut places = places(all, each);
            places.admit('a', 'a');
            for key in crowd {
                let (_, left) = places.admit(key, key);
                prop_assert_ne!(left, Some('a'));
                prop_assert!(places.len() <= all);
                let of_key = places.held.iter().filter(|held| held.key == key).count();
                prop_assert!((1..=each).contains(&of_key), "the newcomer is in");
            }
        }
    }
}
