//! Answers a request to recover the cluster from a snapshot.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use api::v1alpha1::EtcdRecovered;
use backend::{BackendError, PushError, PushedBundle};
use state::chain;

use crate::controller::{Node, control_plane};
use crate::handle::{EtcdHandle, refused};
use crate::places::PlaceError;
use crate::recovery::Recovery;
use crate::restore::Identity;
use crate::snapshot::{Fault, Inspector};
use crate::survey::{Seen, Survey};

/// What is left free on the disk beside a snapshot and the data made from it.
const HEADROOM: u64 = 64 << 20;

impl EtcdHandle {
    /// Takes a snapshot, restores it, and lets etcd begin with it.
    pub(crate) async fn take_snapshot(
        &self,
        snapshot: Box<dyn PushedBundle>,
    ) -> Result<EtcdRecovered, BackendError> {
        let _turn = self.turn.lock().await;
        let cluster = self.cluster()?;
        self.check_requests(&cluster)?;
        self.check_disk(
            "to give that up and recover from a snapshot instead, run `bedplate reset --scope data` first",
        )?;
        let node = self.check_no_others().await?;
        let inspector = Inspector::new(snapshot.length()).map_err(faulty)?;
        self.places.prepare_recovery().map_err(internal)?;
        let recovered = self.make_ready(&node, snapshot, inspector).await;
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
        snapshot: Box<dyn PushedBundle>,
        inspector: Inspector,
    ) -> Result<EtcdRecovered, BackendError> {
        let size_bytes = snapshot.length();
        self.check_room(size_bytes)?;
        let arriving = self.places.arriving();
        let path = arriving.clone();
        let received = tokio::task::spawn_blocking(move || receive(snapshot, inspector, &path));
        let received = received
            .await
            .map_err(|error| BackendError::Internal(error.to_string()))?;
        let sha256 = received?;
        let identity = Identity {
            name: node.member.node.clone(),
            peer_url: self.ports.peer_url(node.address),
            token: format!("{}-{}", node.cluster, uuid::Uuid::new_v4()),
        };
        let restored = self
            .restorer
            .restore(&arriving, &self.places.restored(), &identity)
            .await;
        restored.map_err(|error| refused(chain(&error)))?;
        // It may have joined others in the meantime: the controller asks them all the time.
        self.check_disk("the recovery was abandoned")?;
        let places = self.places.clone();
        let recovery = Recovery {
            cluster: node.cluster.clone(),
            sha256: sha256.clone(),
        };
        let completed = tokio::task::spawn_blocking(move || places.complete_recovery(&recovery));
        let completed = completed
            .await
            .map_err(|error| BackendError::Internal(error.to_string()))?;
        completed.map_err(internal)?;
        Ok(EtcdRecovered { sha256, size_bytes })
    }

    /// Refuses a snapshot that does not fit twice: as it arrives, and as the data made from it.
    fn check_room(&self, length: u64) -> Result<(), BackendError> {
        let room = sys::filesystem::room(&self.places.beside);
        let available = room
            .map_err(|error| BackendError::Internal(chain(&error)))?
            .available;
        let needed = length.saturating_mul(2).saturating_add(HEADROOM);
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
