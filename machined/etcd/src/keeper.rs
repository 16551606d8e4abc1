//! Answers the API about the snapshots that are kept.

use std::fs::File;
use std::io::{self, Read as _};
use std::time::SystemTime;

use api::v1alpha1::{EtcdSnapshotsResponse, KeptEtcdSnapshot};
use backend::{BackendError, SnapshotPieces};
use futures::stream;
use state::chain;
use state::kinds::{EtcdSnapshotStatus, NODE};

use crate::handle::EtcdHandle;
use crate::kept::Kept;

/// How much of a file is sent at a time.
const PIECE: usize = 256 << 10;

impl EtcdHandle {
    /// Lists what is kept on the disk.
    pub(crate) async fn list_kept(&self) -> Result<EtcdSnapshotsResponse, BackendError> {
        let status: Option<EtcdSnapshotStatus> = self.store.get(NODE);
        Ok(EtcdSnapshotsResponse {
            snapshots: self.kept().await?.iter().map(shown).collect(),
            problem: status.and_then(|status| status.problem).unwrap_or_default(),
        })
    }

    /// Begins to read one by its name.
    pub(crate) async fn read_kept(&self, name: &str) -> Result<SnapshotPieces, BackendError> {
        let found = self.find_kept(name).await?;
        let path = self.places.snapshots().join(found.name());
        let opened = tokio::task::spawn_blocking(move || File::open(path)).await;
        let file = opened
            .map_err(io::Error::other)
            .flatten()
            .map_err(|error| unreadable(&error))?;
        Ok(Box::pin(stream::unfold(Some(file), |file| async {
            let mut file = file?;
            let read = tokio::task::spawn_blocking(move || {
                let mut piece = Vec::with_capacity(PIECE);
                (&mut file).take(PIECE as u64).read_to_end(&mut piece)?;
                Ok::<_, io::Error>((piece, file))
            });
            match read.await.map_err(io::Error::other).flatten() {
                Ok((piece, _)) if piece.is_empty() => None,
                Ok((piece, file)) => Some((Ok(piece), Some(file))),
                Err(error) => Some((Err(unreadable(&error)), None)),
            }
        })))
    }

    /// Finds one by its name.
    pub(crate) async fn find_kept(&self, name: &str) -> Result<Kept, BackendError> {
        let mut kept = self.kept().await?;
        // Only what is listed has a name that is used: it leads nowhere else.
        if let Some(found) = kept.iter().position(|kept| kept.name() == name) {
            return Ok(kept.swap_remove(found));
        }
        let known: Vec<String> = kept.iter().map(Kept::name).collect();
        let known = match known.is_empty() {
            true => "it keeps none".to_owned(),
            false => format!("it keeps {}", known.join(", ")),
        };
        Err(BackendError::NotFound(format!(
            "the node has no snapshot {name:?}; {known}"
        )))
    }

    async fn kept(&self) -> Result<Vec<Kept>, BackendError> {
        let places = self.places.clone();
        let listed = tokio::task::spawn_blocking(move || places.kept()).await;
        let listed = listed.map_err(|error| BackendError::Internal(error.to_string()))?;
        listed.map_err(|error| BackendError::Internal(chain(&error)))
    }
}

fn shown(kept: &Kept) -> KeptEtcdSnapshot {
    let taken = kept
        .taken
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    KeptEtcdSnapshot {
        name: kept.name(),
        taken_unix: i64::try_from(taken.as_secs()).unwrap_or_default(),
        size_bytes: kept.size,
        revision: kept.revision,
    }
}

fn unreadable(error: &io::Error) -> BackendError {
    BackendError::Internal(format!("the snapshot cannot be read: {error}"))
}
