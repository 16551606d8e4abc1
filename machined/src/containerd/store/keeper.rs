//! Sees to it that containerd starts on a store that it can use.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::aside::{Kept, put_aside, trim};
use super::check::examine;
use crate::boot::status::ID;
use crate::controller::chain;
use crate::events::Events;
use crate::resource::{Resource, Store};
use crate::services::BeforeStart;

const OWNER: &str = "container-store";

/// Tells which damaged stores of containerd are kept for a look. Owned by `container-store`; one, named `node`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContainerStoreStatus {
    /// Those that are kept, oldest first.
    pub kept: Vec<KeptStore>,
}

impl Resource for ContainerStoreStatus {
    const KIND: &'static str = "ContainerStoreStatus";
}

/// A damaged store that was put aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeptStore {
    /// Where it is.
    pub path: String,
    /// What was wrong with it.
    pub reason: String,
    /// When it was put aside by the node's clock, in seconds since 1970.
    pub unix: u64,
}

/// Looks at containerd's store before each start, and puts a damaged one aside. Sole owner of [`ContainerStoreStatus`].
pub struct StoreKeeper {
    root: PathBuf,
    aside: PathBuf,
    store: Store,
    events: Events,
}

impl StoreKeeper {
    /// Makes a keeper of the store in `root`, who moves damaged ones into `aside`, on the same file system.
    pub fn new(root: &Path, aside: &Path, store: Store, events: Events) -> Self {
        StoreKeeper {
            root: root.to_owned(),
            aside: aside.to_owned(),
            store,
            events,
        }
    }

    fn keep(root: &Path, aside: &Path, events: &Events) -> Vec<Kept> {
        if let Err(fault) = examine(root) {
            let why = chain(&fault);
            match put_aside(root, aside, &why) {
                Ok(place) => events.error(
                    OWNER,
                    format!(
                        "the container store was damaged and is made anew: {why}; the old one is kept in {}",
                        place.display()
                    ),
                ),
                Err(error) => events.error(
                    OWNER,
                    format!("the container store is damaged ({why}) and cannot be put aside: {error}"),
                ),
            }
        }
        trim(aside, SystemTime::now()).unwrap_or_else(|error| {
            let aside = aside.display();
            events.warning(OWNER, format!("cannot tidy up {aside}: {error}"));
            Vec::new()
        })
    }
}

#[async_trait]
impl BeforeStart for StoreKeeper {
    async fn before_start(&self) {
        let (root, aside, events) = (self.root.clone(), self.aside.clone(), self.events.clone());
        let kept = tokio::task::spawn_blocking(move || Self::keep(&root, &aside, &events)).await;
        let kept = kept.unwrap_or_else(|panic| {
            self.events.error(
                OWNER,
                format!("the container store could not be looked at: {panic}"),
            );
            Vec::new()
        });
        let kept = kept.into_iter().map(|kept| KeptStore {
            path: kept.path.display().to_string(),
            reason: kept.why,
            unix: kept.at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
        });
        let status = ContainerStoreStatus { kept: kept.collect() };
        if let Err(conflict) = self.store.put(OWNER, ID, status) {
            tracing::error!("{conflict}");
        }
    }
}

#[cfg(test)]
mod tests;
