//! Waiting for changes.
//!
//! Both watches compare what the store holds now with what they saw last, so a slow reader misses no state; it only
//! misses states that were gone before it looked.

use std::collections::BTreeMap;

use tokio::sync::watch;

use super::{Event, Store};

/// A watch for changes to any resource of some kinds.
pub struct Watch {
    store: Store,
    kinds: Vec<String>,
    revisions: watch::Receiver<u64>,
    seen: u64,
}

impl Watch {
    pub(super) fn new(store: Store, kinds: &[&str]) -> Self {
        let kinds: Vec<String> = kinds.iter().map(|kind| (*kind).to_owned()).collect();
        let revisions = store.subscribe();
        let seen = store.revision_of(&kinds);
        Watch {
            store,
            kinds,
            revisions,
            seen,
        }
    }

    /// Waits until a watched kind differs from when this was last called, or from when the watch was made.
    ///
    /// Cancel safe: a change that is not returned is returned by the next call.
    pub async fn changed(&mut self) {
        loop {
            self.revisions.mark_unchanged();
            let now = self.store.revision_of(&self.kinds);
            if now > self.seen {
                self.seen = now;
                return;
            }
            if self.revisions.changed().await.is_err() {
                // The store, which we hold, also holds the sender: this cannot end before we do.
                std::future::pending::<()>().await;
            }
        }
    }
}

/// A watch for each difference of one kind, for readers who do not know its type.
pub struct DynWatch {
    store: Store,
    kind: String,
    watch: Watch,
    seen: BTreeMap<String, u64>,
    started: bool,
}

impl DynWatch {
    pub(super) fn new(store: Store, kind: &str) -> Self {
        let watch = store.watch(&[kind]);
        DynWatch {
            store,
            kind: kind.to_owned(),
            watch,
            seen: BTreeMap::new(),
            started: false,
        }
    }

    /// Returns the next differences. The first call returns at once, with everything there is (perhaps nothing).
    ///
    /// Cancel safe.
    pub async fn next(&mut self) -> Vec<Event> {
        if !self.started {
            self.started = true;
            return self.differences();
        }
        loop {
            self.watch.changed().await;
            let events = self.differences();
            if !events.is_empty() {
                return events;
            }
        }
    }

    fn differences(&mut self) -> Vec<Event> {
        let entries = self.store.list_dyn(&self.kind);
        let now: BTreeMap<String, u64> = entries
            .iter()
            .map(|entry| (entry.id.clone(), entry.version))
            .collect();
        let gone = self.seen.keys().filter(|id| !now.contains_key(*id));
        let mut events: Vec<Event> = gone
            .map(|id| Event::Removed {
                kind: self.kind.clone(),
                id: id.clone(),
            })
            .collect();
        let new = entries
            .into_iter()
            .filter(|entry| self.seen.get(&entry.id) != Some(&entry.version));
        events.extend(new.map(Event::Put));
        self.seen = now;
        events
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;
    use crate::Resource;

    #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
    struct One(u32);
    impl Resource for One {
        const KIND: &'static str = "One";
    }

    #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Two(u32);
    impl Resource for Two {
        const KIND: &'static str = "Two";
    }

    async fn quiet(watch: &mut Watch) -> bool {
        timeout(Duration::from_millis(20), watch.changed()).await.is_err()
    }

    #[tokio::test(start_paused = true)]
    async fn wakes_for_its_own_kinds_and_only_once() {
        let store = Store::new();
        store.put("t", "x", One(1)).unwrap();
        let mut watch = store.watch(&["One"]);
        assert!(
            quiet(&mut watch).await,
            "what was there before the watch is no change"
        );
        store.put("t", "x", Two(1)).unwrap();
        assert!(quiet(&mut watch).await, "another kind");
        store.put("t", "x", One(2)).unwrap();
        store.put("t", "x", One(3)).unwrap();
        watch.changed().await;
        assert!(quiet(&mut watch).await, "two changes, one wake-up");
        store.remove::<One>("t", "x").unwrap();
        watch.changed().await;
    }

    #[tokio::test]
    async fn shows_puts_and_removals() {
        let store = Store::new();
        store.put("t", "a", One(1)).unwrap();
        let mut watch = store.watch_dyn("One");
        assert_eq!(watch.next().await.len(), 1);
        store.put("t", "b", One(2)).unwrap();
        store.remove::<One>("t", "a").unwrap();
        let events = watch.next().await;
        assert_eq!(
            events[0],
            Event::Removed {
                kind: "One".into(),
                id: "a".into()
            }
        );
        assert!(matches!(&events[1], Event::Put(entry) if entry.id == "b"));
        assert_eq!(events.len(), 2);
    }
}
