//! Lets containerd start with a store that it can use.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use node::events::Events;
use state::kinds::{ContainerStoreStatus, KeptStore, NODE};
use state::{Store, chain};

use super::aside::{Kept, put_aside, trim};
use super::check::examine;
use crate::BeforeStart;

const OWNER: &str = "container-store";

/// The check of containerd's store before each start, which puts a damaged one aside. Sole owner of [`ContainerStoreStatus`].
pub struct StoreRepair {
    root: PathBuf,
    aside: PathBuf,
    store: Store,
    events: Events,
}

impl StoreRepair {
    /// Makes the check for the store in `root`; it moves damaged ones into `aside`, on the same file system.
    pub fn new(root: &Path, aside: &Path, store: Store, events: Events) -> Self {
        StoreRepair {
            root: root.to_owned(),
            aside: aside.to_owned(),
            store,
            events,
        }
    }

    fn repair(root: &Path, aside: &Path, events: &Events) -> Vec<Kept> {
        if let Err(fault) = examine(root) {
            let why = chain(&fault);
            match put_aside(root, aside, &why) {
                Ok(place) => events.error(
                    OWNER,
                    format!(
                        "the container store was damaged and is replaced: {why}; the old one is kept in {}",
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
impl BeforeStart for StoreRepair {
    async fn before_start(&self) {
        let (root, aside, events) = (self.root.clone(), self.aside.clone(), self.events.clone());
        let kept = tokio::task::spawn_blocking(move || Self::repair(&root, &aside, &events)).await;
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
        if let Err(conflict) = self.store.put(OWNER, NODE, status) {
            tracing::error!("{conflict}");
        }
    }
}

#[cfg(test)]
mod tests;
