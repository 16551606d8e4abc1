//! Answers a request to recover the cluster from a snapshot.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use api::v1alpha1::EtcdRecovered;
use backend::{BackendError, PushError, PushedBundle, SnapshotSource};
use state::chain;

use crate::controller::{Node, control_plane};
use crate::handle::{EtcdHandle, refused};
use crate::places::{Data, PlaceError};
use crate::recovery::Recovery;
use crate::restore::Identity;
use crate::schedule::inspect;
use crate::snapshot::{Fault, Inspector};
use crate::survey::{Seen, Survey};

/// What is left free on the disk beside a snapshot and the data made from it.
const HEADROOM: u64 = 64 << 20;

impl EtcdHandle {
    /// Takes a snapshot, restores it, and lets etcd begin with it.
    pub(crate) async fn take_snapshot(
        &self,
        snapshot: SnapshotSource,
        replace: bool,
    ) -> Result<EtcdRecovered, BackendError> {
        let _turn = self.turn.lock().await;
        let cluster = self.cluster()?;
        self.check_requests(&cluster)?;
        match replace {
            true => self.check_volume()?,
            false => self.check_disk(
                "to give its data up and recover from a snapshot instead, run `bedplate reset --scope data` first, or this command with --replace-data",
            )?,
        }
        let node = self.check_no_others().await?;
        self.places.prepare_recovery().map_err(internal)?;
        let recovered = self.make_ready(&node, snapshot, replace).await;
        if recovered.is_err() {
            // The next one clears it, too.
            let _left = self.places.clear_recovery();
        }
        let recovered = recovered?;
        self.events.warning(
            "etcd",
            format!(
                "the cluster is recovered from the snapshot with the SHA-256 {}",
                recovered.sha256
            ),
        );
        self.bell.notify_one();
        Ok(recovered)
    }

    /// Restores a snapshot beside etcd's data, and says on the disk that it is complete.
    async fn make_ready(
        &self,
        node: &Node,
        snapshot: SnapshotSource,
        replace: bool,
    ) -> Result<EtcdRecovered, BackendError> {
        let (path, recovered) = match snapshot {
            SnapshotSource::Pushed(snapshot) => self.arrive(snapshot).await?,
            SnapshotSource::Kept(name) => self.look_at(&name).await?,
        };
        let identity = Identity {
            name: node.member.node.clone(),
            peer_url: self.ports.peer_url(node.address),
            token: format!("{}-{}", node.cluster, uuid::Uuid::new_v4()),
        };
        let restored = self
            .restorer
            .restore(&path, &self.places.restored(), &identity)
            .await;
        restored.map_err(|error| refused(chain(&error)))?;
        if !replace {
            // It may have joined others in the meantime: the controller asks them all the time.
            self.check_disk("the recovery was abandoned")?;
        }
        let places = self.places.clone();
        let recovery = Recovery {
            cluster: node.cluster.clone(),
            sha256: recovered.sha256.clone(),
            replaces: self.data()? != Data::Empty,
        };
        off_the_runtime(move || places.complete_recovery(&recovery))
            .await?
            .map_err(internal)?;
        Ok(recovered)
    }

    /// Takes a snapshot from the client, and returns where it is.
    async fn arrive(
        &self,
        snapshot: Box<dyn PushedBundle>,
    ) -> Result<(PathBuf, EtcdRecovered), BackendError> {
        let size_bytes = snapshot.length();
        let inspector = Inspector::new(size_bytes).map_err(faulty)?;
        // It is there twice: as it arrives, and as the data made from it.
        self.check_room(size_bytes.saturating_mul(2))?;
        let arriving = self.places.arriving();
        let path = arriving.clone();
        let sha256 = off_the_runtime(move || receive(snapshot, inspector, &path)).await??;
        Ok((arriving, EtcdRecovered { sha256, size_bytes }))
    }

    /// Checks a snapshot that the node keeps, and returns where it is.
    async fn look_at(&self, name: &str) -> Result<(PathBuf, EtcdRecovered), BackendError> {
        let kept = self.find_kept(name).await?;
        self.check_room(kept.size)?;
        let path = self.places.snapshots().join(kept.name());
        let file = path.clone();
        let sha256 = off_the_runtime(move || inspect(&file)).await?;
        let sha256 = sha256
            .map_err(|error| refused(format!("the snapshot {name} cannot be used: {}", chain(&error))))?;
        let size_bytes = kept.size;
        Ok((path, EtcdRecovered { sha256, size_bytes }))
    }

    /// Refuses a snapshot for which there is no room.
    fn check_room(&self, length: u64) -> Result<(), BackendError> {
        let room = sys::filesystem::room(&self.places.beside);
        let available = room
            .map_err(|error| BackendError::Internal(chain(&error)))?
            .available;
        let needed = length.saturating_add(HEADROOM);
        match available >= needed {
            true => Ok(()),
            false => Err(refused(format!(
                "DATA has {available} bytes free, and restoring the snapshot needs {needed}; use a larger card or disk"
            ))),
        }
    }

    /// Refuses while members of the cluster are there, and returns the node.
    async fn check_no_others(&self) -> Result<Node, BackendError> {
        let named = |members: &[Seen]| {
            let names: Vec<String> = members.iter().map(Seen::who).collect();
            names.join(", ")
        };
        match self.ask_others().await? {
            Survey::Silent(_) => {}
            Survey::Members { members, .. } => {
                return Err(refused(format!(
                    "the cluster is running, and has members: {}; this node joins them by itself",
                    named(&members)
                )));
            }
            Survey::NoQuorum(members) => {
                let (there, gone): (Vec<Seen>, Vec<Seen>) =
                    members.into_iter().partition(|member| member.answers);
                return Err(refused(format!(
                    "data of the cluster are still there, on {}: start enough of {} for a quorum and nothing is lost; to give up what was written since the snapshot, run `bedplate reset --scope data` on those that are there",
                    named(&there),
                    named(&gone)
                )));
            }
        }
        control_plane(&self.store).ok_or_else(|| refused("this node is no control plane"))
    }
}

/// Runs work that may wait for a disk, off the threads that answer others.
async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, BackendError> {
    let ended = tokio::task::spawn_blocking(work).await;
    ended.map_err(|error| BackendError::Internal(error.to_string()))
}

/// Writes a snapshot to a file while it arrives, and returns its SHA-256 in hex.
fn receive(
    mut snapshot: Box<dyn PushedBundle>,
    mut inspector: Inspector,
    path: &Path,
) -> Result<String, BackendError> {
    let cannot =
        |error: io::Error| BackendError::Unavailable(format!("cannot write {}: {error}", path.display()));
    let opened = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    let mut file: File = opened.map_err(cannot)?;
    let (length, mut offset) = (snapshot.length(), 0);
    while offset < length {
        let want = u32::try_from((length - offset).min(api::MAX_DATA as u64)).unwrap_or(u32::MAX);
        let piece = snapshot.read(offset, want).map_err(broken)?;
        inspector.take(&piece).map_err(faulty)?;
        file.write_all(&piece).map_err(cannot)?;
        offset += u64::from(want);
    }
    file.sync_all().map_err(cannot)?;
    inspector.finish().map_err(faulty)
}

/// Says why the rest of a snapshot did not arrive.
fn broken(error: PushError) -> BackendError {
    let why = match error {
        PushError::Gone => "the client has disconnected".to_owned(),
        PushError::Silent => "the client did not send the requested data in time".to_owned(),
        PushError::Wrong(_) | PushError::OutOfRange { .. } => error.to_string(),
    };
    BackendError::Unavailable(format!("{why}; nothing was changed, so run the command again"))
}

fn faulty(fault: Fault) -> BackendError {
    refused(fault.to_string())
}

fn internal(error: PlaceError) -> BackendError {
    BackendError::Internal(chain(&error))
}
