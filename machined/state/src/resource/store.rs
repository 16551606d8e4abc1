//! The store itself: one map under one lock, and a revision that grows with every change.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::{DynWatch, Entry, Resource, Watch};

/// Every resource of the node. Clones share the same state.
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
    /// The owner of the kind; none when it is shared.
    owner: Option<String>,
    /// The revision of the last change to any resource of this kind, removals included.
    changed: u64,
    values: BTreeMap<String, Held>,
    /// Makes the API's form of a value of this kind.
    show: fn(&dyn Any) -> serde_json::Value,
}

struct Held {
    version: u64,
    owner: String,
    value: Box<dyn Any + Send + Sync>,
}

/// What a write did.
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

/// A write by someone who does not own the kind, or the resource of a shared kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{writer} may not write {resource}: it belongs to {owner}")]
pub struct OwnerConflict {
    /// What was to be written: a kind, or `KIND NAME` where the kind is shared.
    pub resource: String,
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

    /// Writes one resource. The first to write a kind owns it from then on; of a shared kind, the resource.
    ///
    /// An equal value changes nothing and wakes nobody, so a controller may write what it finds on every run.
    ///
    /// # Errors
    ///
    /// [`OwnerConflict`] when the kind, or this resource of a shared kind, belongs to someone else.
    pub fn put<R: Resource>(&self, owner: &str, id: &str, value: R) -> Result<Changed, OwnerConflict> {
        let mut inner = self.lock();
        let next = inner.revision + 1;
        let kind = inner.kinds.entry(R::KIND).or_insert_with(|| Kind {
            owner: (!R::SHARED).then(|| owner.to_owned()),
            changed: 0,
            values: BTreeMap::new(),
            show: show::<R>,
        });
        kind.check_owner::<R>(owner, id)?;
        let changed = match kind.values.get(id).map(typed::<R>) {
            Some(Some(old)) if *old == value => return Ok(Changed::No),
            Some(_) => Changed::Updated,
            None => Changed::Created,
        };
        kind.values.insert(
            id.to_owned(),
            Held {
                version: next,
                owner: owner.to_owned(),
                value: Box::new(value),
            },
        );
        kind.changed = next;
        inner.revision = next;
        drop(inner);
        self.shared.revision.send_replace(next);
        Ok(changed)
    }

    /// Removes one resource; one that is not there is not an error.
    ///
    /// # Errors
    ///
    /// [`OwnerConflict`] as for [`Store::put`].
    pub fn remove<R: Resource>(&self, owner: &str, id: &str) -> Result<Changed, OwnerConflict> {
        let mut inner = self.lock();
        let next = inner.revision + 1;
        let Some(kind) = inner.kinds.get_mut(R::KIND) else {
            return Ok(Changed::No);
        };
        kind.check_owner::<R>(owner, id)?;
        if kind.values.remove(id).is_none() {
            return Ok(Changed::No);
        }
        kind.changed = next;
        inner.revision = next;
        drop(inner);
        self.shared.revision.send_replace(next);
        Ok(Changed::Removed)
    }

    /// Makes the resources of a kind be exactly these: puts what differs, removes what is not named. Of a shared kind,
    /// only the resources of this owner are removed.
    ///
    /// # Errors
    ///
    /// [`OwnerConflict`] as for [`Store::put`]; what was written before it stays written.
    pub fn replace<R: Resource>(&self, owner: &str, values: Vec<(String, R)>) -> Result<(), OwnerConflict> {
        for id in self.owned::<R>(owner) {
            if !values.iter().any(|(kept, _)| *kept == id) {
                self.remove::<R>(owner, &id)?;
            }
        }
        for (id, value) in values {
            self.put(owner, &id, value)?;
        }
        Ok(())
    }

    /// Names the resources that a writer may remove: all of its kind, or its own of a shared kind.
    fn owned<R: Resource>(&self, owner: &str) -> Vec<String> {
        let inner = self.lock();
        let Some(kind) = inner.kinds.get(R::KIND) else {
            return Vec::new();
        };
        let all = kind.values.iter();
        all.filter(|(_, held)| !R::SHARED || held.owner == owner)
            .map(|(id, _)| id.clone())
            .collect()
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
    fn check_owner<R: Resource>(&self, writer: &str, id: &str) -> Result<(), OwnerConflict> {
        let (owner, resource) = match &self.owner {
            Some(owner) => (Some(owner), R::KIND.to_owned()),
            None => (
                self.values.get(id).map(|held| &held.owner),
                format!("{} {id}", R::KIND),
            ),
        };
        match owner {
            Some(owner) if owner != writer => Err(OwnerConflict {
                resource,
                owner: owner.clone(),
                writer: writer.to_owned(),
            }),
            _ => Ok(()),
        }
    }

    fn entry(&self, name: &str, id: &str, held: &Held) -> Entry {
        Entry {
            kind: name.to_owned(),
            id: id.to_owned(),
            version: held.version,
            owner: held.owner.clone(),
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

    #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Shelf(u32);

    impl Resource for Shelf {
        const KIND: &'static str = "Shelf";
        const SHARED: bool = true;
    }

    #[test]
    fn each_resource_of_a_shared_kind_belongs_to_its_first_writer() {
        let store = Store::new();
        store.put("a", "low", Shelf(1)).unwrap();
        store.put("b", "high", Shelf(2)).unwrap();
        let refused = store.put("b", "low", Shelf(3)).unwrap_err();
        assert_eq!(refused.to_string(), "b may not write Shelf low: it belongs to a");
        assert!(store.remove::<Shelf>("b", "low").is_err());
        let owners: Vec<String> = store
            .list_dyn("Shelf")
            .into_iter()
            .map(|entry| entry.owner)
            .collect();
        assert_eq!(owners, ["b", "a"]);
        // The shelves of others are left alone.
        store.replace("b", vec![("middle".into(), Shelf(4))]).unwrap();
        let names: Vec<String> = store.list::<Shelf>().into_iter().map(|(id, _)| id).collect();
        assert_eq!(names, ["low", "middle"]);
        assert!(store.replace("b", vec![("low".into(), Shelf(5))]).is_err());
        // What is removed belongs to nobody.
        store.remove::<Shelf>("a", "low").unwrap();
        assert_eq!(store.put("b", "low", Shelf(6)), Ok(Changed::Created));
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
