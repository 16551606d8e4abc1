//! What people want of services, against what image and machine config say.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Takes wishes about services. Clones share them.
#[derive(Clone, Default)]
pub struct Requests {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    wishes: Mutex<BTreeMap<String, Wish>>,
    bell: Arc<Notify>,
}

/// Is what is wanted of one service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wish {
    /// Run or rest; none leaves it to image and machine config.
    pub run: Option<bool>,
    /// How many starts were asked for: a change is one more, and ends a pause after a failure.
    pub starts: u64,
    /// How many restarts were asked for.
    pub restarts: u64,
}

/// Says that a node has no such service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("service {name:?} not found; known: {known}")]
pub struct Unknown {
    name: String,
    known: String,
}

impl Requests {
    /// Makes a set for these services.
    pub fn new(services: impl IntoIterator<Item = String>) -> Self {
        let requests = Requests::default();
        requests
            .wishes()
            .extend(services.into_iter().map(|name| (name, Wish::default())));
        requests
    }

    /// Asks that a service runs.
    pub fn start(&self, name: &str) -> Result<(), Unknown> {
        self.change(name, |wish| {
            wish.run = Some(true);
            wish.starts += 1;
        })
    }

    /// Asks that a service rests until it is started again or the node restarts.
    pub fn stop(&self, name: &str) -> Result<(), Unknown> {
        self.change(name, |wish| wish.run = Some(false))
    }

    /// Asks that a service ends and runs anew.
    pub fn restart(&self, name: &str) -> Result<(), Unknown> {
        self.change(name, |wish| {
            wish.run = Some(true);
            wish.restarts += 1;
        })
    }

    /// Returns what is wanted of a service.
    pub fn wish(&self, name: &str) -> Wish {
        self.wishes().get(name).copied().unwrap_or_default()
    }

    /// Returns the bell that rings at each new wish.
    pub fn bell(&self) -> Arc<Notify> {
        self.shared.bell.clone()
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut Wish)) -> Result<(), Unknown> {
        let mut wishes = self.wishes();
        let Some(wish) = wishes.get_mut(name) else {
            let known = wishes.keys().cloned().collect::<Vec<_>>().join(", ");
            return Err(Unknown {
                name: name.to_owned(),
                known,
            });
        };
        change(wish);
        drop(wishes);
        self.shared.bell.notify_one();
        Ok(())
    }

    fn wishes(&self) -> MutexGuard<'_, BTreeMap<String, Wish>> {
        self.shared.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_add_up_and_unknown_names_are_told_the_known() {
        let requests = Requests::new(["containerd".to_owned()]);
        requests.stop("containerd").unwrap();
        requests.restart("containerd").unwrap();
        requests.restart("containerd").unwrap();
        assert_eq!(
            requests.wish("containerd"),
            Wish {
                run: Some(true),
                starts: 0,
                restarts: 2
            }
        );
        let error = requests.start("containered").unwrap_err().to_string();
        assert_eq!(error, "service \"containered\" not found; known: containerd");
    }
}
