//! The store itself: one map under one lock, and a revision that grows with every change.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::{DynWatch, Entry, Resource, Watch};

/// Holds every resource of the node. Clones share the same state.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    inner: Mutex<Inner>,
    /// The revision of the last change: what watchers sleep on.
    revision: watch::Sender<u64>,
}

#[derive(Default)]
struct Inner {
    revision: u64,
    kinds: HashMap<&'static str, Kind>,
}

struct Kind {
    owner: String,
    /// The revision of the last change to any resource of this kind, removals included.
    changed: u64,
    values: BTreeMap<String, Held>,
    /// Makes the API's form of a value of this kind.
    show: fn(&dyn Any) -> serde_json::Value,
}

struct Held {
    version: u64,
    value: Box<dyn Any + Send + Sync>,
}

/// Says what a write did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// The same value was there already: nobody is woken.
    No,
    /// The resource did not exist before.
    Created,
    /// The value differs from the one before.
    Updated,
    /// The resource existed, and is gone.
    Removed,
}

/// Says that a kind was written by someone who does not own it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{writer} may not write {kind}: it belongs to {owner}")]
pub struct OwnerConflict {
    /// The kind that was to be written.
    pub kind: &'static str,
    /// Its owner: whoever wrote it first.
    pub owner: String,
    /// The one who tried.
    pub writer: String,
}

impl Default for Store {
    fn default() -> Self {
        Self::new()
    }
}

impl Store {
    /// Makes an empty store.
    pub fn new() -> Self {
        let (revision, _) = watch::channel(0);
        Store {
            shared: Arc::new(Shared {
                inner: Mutex::default(),
                revision,
            }),
        }
    }

    /// Reads one resource.
    pub fn get<R: Resource>(&self, id: &str) -> Option<R> {
        self.lock()
            .kinds
            .get(R::KIND)?
            .values
            .get(id)
            .and_then(|held| typed::<R>(held).cloned())
    }

    /// Reads all resources of a kind, by name.
    pub fn list<R: Resource>(&self) -> Vec<(String, R)> {
        let inner = self.lock();
        let Some(kind) = inner.kinds.get(R::KIND) else {
            return Vec::new();
        };
        kind.values
            .iter()
            .filter_map(|(id, held)| Some((id.clone(), typed::<R>(held)?.clone())))
            .collect()
    }

    /// Writes one resource. The first to write a kind owns it from then on.
    ///
    /// An equal value changes nothing and wakes nobody, so a controller may write what it finds on every run.
    pub fn put<R: Resource>(&self, owner: &str, id: &str, value: R) -> Result<Changed, OwnerConflict> {
        let mut inner = self.lock();
        let next = inner.revision + 1;
        let kind = inner.kinds.entry(R::KIND).or_insert_with(|| Kind {
            owner: owner.to_owned(),
            changed: 0,
            values: BTreeMap::new(),
            show: show::<R>,
        });
        kind.check_owner::<R>(owner)?;
        let changed = match kind.values.get(id).map(typed::<R>) {
            Some(Some(old)) if *old == value => return Ok(Changed::No),
            Some(_) => Changed::Updated,
            None => Changed::Created,
        };
        kind.values.insert(
            id.to_owned(),
            Held {
                version: next,
                value: Box::new(value),
            },
        );
        kind.changed = next;
        inner.revision = next;
        drop(inner);
        self.shared.revision.send_replace(next);
        Ok(changed)
    }

    /// Removes one resource; one that is not there is no error.
    pub fn remove<R: Resource>(&self, owner: &str, id: &str) -> Result<Changed, OwnerConflict> {
        let mut inner = self.lock();
        let next = inner.revision + 1;
        let Some(kind) = inner.kinds.get_mut(R::KIND) else {
            return Ok(Changed::No);
        };
        kind.check_owner::<R>(owner)?;
        if kind.values.remove(id).is_none() {
            return Ok(Changed::No);
        }
        kind.changed = next;
        inner.revision = next;
        drop(inner);
        self.shared.revision.send_replace(next);
        Ok(Changed::Removed)
    }

    /// Makes the resources of a kind be exactly these: puts what differs, removes what is not named.
    pub fn replace<R: Resource>(&self, owner: &str, values: Vec<(String, R)>) -> Result<(), OwnerConflict> {
        for (id, _) in self.list::<R>() {
            if !values.iter().any(|(kept, _)| *kept == id) {
                self.remove::<R>(owner, &id)?;
            }
        }
        for (id, value) in values {
            self.put(owner, &id, value)?;
        }
        Ok(())
    }

    /// Watches kinds. The first [`Watch::changed`] returns when something changes after this call.
    pub fn watch(&self, kinds: &[&str]) -> Watch {
        Watch::new(self.clone(), kinds)
    }

    /// Names the kinds that were ever written, in order.
    pub fn kinds(&self) -> Vec<String> {
        let mut kinds: Vec<String> = self.lock().kinds.keys().map(|kind| (*kind).to_owned()).collect();
        kinds.sort();
        kinds
    }

    /// Reads one resource for the API.
    pub fn get_dyn(&self, kind: &str, id: &str) -> Option<Entry> {
        let inner = self.lock();
        let (name, kind) = inner.kinds.get_key_value(kind)?;
        kind.values.get(id).map(|held| kind.entry(name, id, held))
    }

    /// Reads all resources of a kind for the API, by name.
    pub fn list_dyn(&self, kind: &str) -> Vec<Entry> {
        let inner = self.lock();
        let Some((name, kind)) = inner.kinds.get_key_value(kind) else {
            return Vec::new();
        };
        kind.values
            .iter()
            .map(|(id, held)| kind.entry(name, id, held))
            .collect()
    }

    /// Watches one kind for the API: first everything that is there, then each difference.
    pub fn watch_dyn(&self, kind: &str) -> DynWatch {
        DynWatch::new(self.clone(), kind)
    }

    /// Returns the revision of the last change.
    pub fn revision(&self) -> u64 {
        self.lock().revision
    }

    /// Returns the revision of the last change to any of these kinds.
    pub(super) fn revision_of(&self, kinds: &[String]) -> u64 {
        let inner = self.lock();
        kinds
            .iter()
            .filter_map(|kind| inner.kinds.get(kind.as_str()))
            .map(|kind| kind.changed)
            .max()
            .unwrap_or(0)
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.shared.revision.subscribe()
    }

    /// A panic under the lock cannot leave the map half changed (every change is one insert or remove), so a
    /// poisoned lock is as good as a whole one.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.shared.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kind {
    fn check_owner<R: Resource>(&self, writer: &str) -> Result<(), OwnerConflict> {
        if self.owner == writer {
            return Ok(());
        }
        Err(OwnerConflict {
            kind: R::KIND,
            owner: self.owner.clone(),
            writer: writer.to_owned(),
        })
    }

    fn entry(&self, name: &str, id: &str, held: &Held) -> Entry {
        Entry {
            kind: name.to_owned(),
            id: id.to_owned(),
            version: held.version,
            owner: self.owner.clone(),
            value: (self.show)(held.value.as_ref()),
        }
    }
}

fn typed<R: Resource>(held: &Held) -> Option<&R> {
    held.value.downcast_ref()
}

fn show<R: Resource>(value: &dyn Any) -> serde_json::Value {
    let Some(value) = value.downcast_ref::<R>() else {
        return serde_json::Value::Null;
    };
    serde_json::to_value(value.redact()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Lamp {
        lit: bool,
        key: String,
    }

    impl Resource for Lamp {
        const KIND: &'static str = "Lamp";
        fn redact(&self) -> Self {
            Lamp {
                key: "hidden".into(),
                ..self.clone()
            }
        }
    }

    fn lamp(lit: bool) -> Lamp {
        Lamp {
            lit,
            key: "secret".into(),
        }
    }

    #[test]
    fn a_kind_belongs_to_its_first_writer() {
        let store = Store::new();
        assert_eq!(store.put("a", "hall", lamp(true)), Ok(Changed::Created));
        let refused = store.put("b", "attic", lamp(true)).unwrap_err();
        assert_eq!(refused.to_string(), "b may not write Lamp: it belongs to a");
        assert!(store.remove::<Lamp>("b", "hall").is_err());
        assert_eq!(store.list::<Lamp>().len(), 1);
    }

    #[test]
    fn an_equal_value_is_no_change() {
        let store = Store::new();
        store.put("a", "hall", lamp(true)).unwrap();
        let before = store.revision();
        assert_eq!(store.put("a", "hall", lamp(true)), Ok(Changed::No));
        assert_eq!(store.revision(), before);
        assert_eq!(store.put("a", "hall", lamp(false)), Ok(Changed::Updated));
        assert_eq!(store.remove::<Lamp>("a", "hall"), Ok(Changed::Removed));
        assert_eq!(store.remove::<Lamp>("a", "hall"), Ok(Changed::No));
    }

    #[test]
    fn replace_leaves_exactly_the_named() {
        let store = Store::new();
        store.put("a", "hall", lamp(true)).unwrap();
        store.put("a", "attic", lamp(true)).unwrap();
        store
            .replace(
                "a",
                vec![("hall".into(), lamp(false)), ("cellar".into(), lamp(true))],
            )
            .unwrap();
        let names: Vec<String> = store.list::<Lamp>().into_iter().map(|(id, _)| id).collect();
        assert_eq!(names, ["cellar", "hall"]);
        assert_eq!(store.get::<Lamp>("hall"), Some(lamp(false)));
    }

    #[test]
    fn the_api_sees_the_redacted_form_only() {
        let store = Store::new();
        store.put("a", "hall", lamp(true)).unwrap();
        assert_eq!(store.get::<Lamp>("hall").unwrap().key, "secret");
        let entry = store.get_dyn("Lamp", "hall").unwrap();
        assert_eq!(entry.value, serde_json::json!({"lit": true, "key": "hidden"}));
        assert_eq!((entry.owner.as_str(), entry.version), ("a", 1));
        assert_eq!(store.kinds(), ["Lamp"]);
        assert_eq!(store.list_dyn("Nothing"), []);
    }
}
