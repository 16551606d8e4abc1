//! Takes snapshots of the node's etcd on a schedule.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use etcd_client::{CallError, Etcd};
use futures::StreamExt as _;
use machine_config::MachineConfig;
use machine_config::v1alpha1::EtcdSnapshots;
use node::events::Events;
use state::kinds::{
    ClusterMember, ComponentCertificate, EtcdSnapshotStatus, NODE, ServiceHealth, ServiceStatus,
};
use state::{Action, Controller, ControllerError, Resource, Store, chain};
use tokio::time::Instant;

use crate::controller::{SERVICE, control_plane, credentials};
use crate::kept::{Kept, headroom, make_room, until_due};
use crate::peers::Ports;
use crate::places::{PlaceError, Places, failed, folder};
use crate::snapshot::{Fault, Inspector};

const NAME: &str = "etcd-snapshots";
/// How long etcd has to be healthy before one is taken: while a node starts, its disk has enough to do.
pub const SETTLING: Duration = Duration::from_secs(600);
/// How long until it is tried again.
const AGAIN: Duration = Duration::from_secs(600);
/// How long the next piece of a snapshot may take.
const PIECE: Duration = Duration::from_secs(60);
/// The name of the file until it is complete.
const ARRIVING: &str = "arriving";
/// How much of a file is read at a time.
const BLOCK: usize = 64 << 10;

/// The reason why no snapshot could be taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TakeError {
    #[error("etcd gives none")]
    Call(#[from] CallError),
    #[error("etcd gives none: nothing came for {} s", PIECE.as_secs())]
    Silent,
    #[error(
        "{available} bytes are free on DATA, and a snapshot of {length} must leave {headroom} free; remove what is not needed, or take a larger medium"
    )]
    NoRoom {
        available: u64,
        length: u64,
        headroom: u64,
    },
    #[error("it cannot be kept")]
    Place(#[from] PlaceError),
    #[error("it is damaged")]
    Fault(#[from] Fault),
    #[error("the disk does not say how much is free")]
    Room(#[from] sys::Error),
    #[error("its file was not written to an end")]
    Task(#[from] tokio::task::JoinError),
}

/// Takes a snapshot of the node's etcd when one is due, and keeps the newest. Sole owner of [`EtcdSnapshotStatus`].
pub struct EtcdSnapshotsController {
    places: Places,
    ports: Ports,
    events: Events,
    settling: Duration,
    /// Since when etcd is healthy.
    healthy: Option<Instant>,
}

impl EtcdSnapshotsController {
    /// Makes the controller, for which etcd has to be healthy for so long first.
    pub(crate) fn new(places: Places, ports: Ports, events: Events, settling: Duration) -> Self {
        Self {
            places,
            ports,
            events,
            settling,
            healthy: None,
        }
    }

    /// Returns how long until etcd is healthy long enough; none while it is not.
    fn until_settled(&mut self, store: &Store) -> Option<Duration> {
        let service: Option<ServiceStatus> = store.get(SERVICE);
        if !service.is_some_and(|status| status.health == ServiceHealth::Healthy) {
            self.healthy = None;
            return None;
        }
        let since = *self.healthy.get_or_insert_with(Instant::now);
        Some(self.settling.saturating_sub(since.elapsed()))
    }

    /// Takes one, unless nothing was written since the newest, and removes those that are too many.
    async fn take(&self, etcd: &Etcd, wanted: EtcdSnapshots) -> Result<(), TakeError> {
        let status = etcd.status().await?;
        let revision = status.header.map_or(0, |header| header.revision);
        let revision = u64::try_from(revision).unwrap_or_default();
        let kept = self.places.kept()?;
        if status.is_learner || kept.first().is_some_and(|newest| newest.revision == revision) {
            return Ok(());
        }
        let path = self.places.snapshots();
        folder(&path)?;
        let arriving = path.join(ARRIVING);
        remove(&arriving)?;
        let length = u64::try_from(status.db_size).unwrap_or_default();
        let room = sys::filesystem::room(&path)?;
        let Some(stay) = make_room(room.total, room.available, length, &kept) else {
            return Err(TakeError::NoRoom {
                available: room.available,
                length,
                headroom: headroom(room.total),
            });
        };
        self.places.remove_kept(&kept[stay..])?;
        let received = self.receive(etcd, &arriving, revision).await;
        if received.is_err() {
            // The next one removes it, too.
            let _left = remove(&arriving);
        }
        let taken = received?;
        tracing::info!("took the snapshot {} of etcd, {} bytes", taken.name(), taken.size);
        let kept = self.places.kept()?;
        let keep = usize::try_from(wanted.keep).unwrap_or(usize::MAX).min(kept.len());
        Ok(self.places.remove_kept(&kept[keep..])?)
    }

    /// Writes a snapshot to a file, reads it back, and gives it its name once it is sound and on the disk.
    async fn receive(&self, etcd: &Etcd, arriving: &Path, revision: u64) -> Result<Kept, TakeError> {
        let cannot = |source| failed("write", arriving, source);
        let opened = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(arriving);
        let mut file = opened.map_err(cannot)?;
        let mut pieces = etcd.snapshot().await?;
        loop {
            let piece = tokio::time::timeout(PIECE, pieces.next()).await;
            let Some(piece) = piece.map_err(|_| TakeError::Silent)? else {
                break;
            };
            let piece = piece.map_err(|status| etcd.problem(&status))?;
            // Off the threads that answer others: a card may take its time.
            let written = tokio::task::spawn_blocking(move || file.write_all(&piece.blob).map(|()| file));
            file = written.await?.map_err(cannot)?;
        }
        let (path, folder) = (arriving.to_owned(), self.places.snapshots());
        let finished = tokio::task::spawn_blocking(move || finish(&file, &path, &folder, revision));
        finished.await?
    }

    fn tell(&self, store: &Store, kept: &[Kept], problem: Option<String>) -> Result<(), ControllerError> {
        let before: Option<EtcdSnapshotStatus> = store.get(NODE);
        if let Some(why) = &problem
            && before.is_none_or(|before| before.problem.is_none())
        {
            self.events.error("etcd", why.as_str());
        }
        let status = EtcdSnapshotStatus {
            newest: kept.first().map(Kept::name),
            count: u32::try_from(kept.len()).unwrap_or(u32::MAX),
            problem,
        };
        store.put(NAME, NODE, status)?;
        Ok(())
    }
}

/// Checks a file that is complete, and gives it its name.
fn finish(file: &File, arriving: &Path, folder: &Path, revision: u64) -> Result<Kept, TakeError> {
    file.sync_all()
        .map_err(|source| failed("flush", arriving, source))?;
    inspect(arriving)?;
    let size = file
        .metadata()
        .map_err(|source| failed("read", arriving, source))?
        .len();
    let now = SystemTime::now();
    let whole = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let kept = Kept {
        revision,
        taken: SystemTime::UNIX_EPOCH + Duration::from_secs(whole),
        size,
    };
    let path = folder.join(kept.name());
    fs::rename(arriving, &path).map_err(|source| failed("create", &path, source))?;
    let flushed = File::open(folder).and_then(|folder| folder.sync_all());
    flushed.map_err(|source| failed("flush", folder, source))?;
    Ok(kept)
}

/// Reads a snapshot from its file, and returns its SHA-256 in hex if it is sound.
pub(crate) fn inspect(path: &Path) -> Result<String, TakeError> {
    let cannot = |source| failed("read", path, source);
    let mut file = File::open(path).map_err(cannot)?;
    let mut inspector = Inspector::new(file.metadata().map_err(cannot)?.len())?;
    let mut block = vec![0; BLOCK];
    loop {
        match file.read(&mut block).map_err(cannot)? {
            0 => return Ok(inspector.finish()?),
            read => inspector.take(block.get(..read).unwrap_or_default())?,
        }
    }
}

fn remove(path: &Path) -> Result<(), PlaceError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(failed("remove", path, source)),
        _ => Ok(()),
    }
}

#[async_trait]
impl Controller for EtcdSnapshotsController {
    fn name(&self) -> &'static str {
        NAME
    }

    fn inputs(&self) -> &'static [&'static str] {
        &[
            MachineConfig::KIND,
            ClusterMember::KIND,
            ComponentCertificate::KIND,
            ServiceStatus::KIND,
        ]
    }

    fn outputs(&self) -> &'static [&'static str] {
        &[EtcdSnapshotStatus::KIND]
    }

    async fn reconcile(&mut self, store: &Store) -> Result<Action, ControllerError> {
        let config: Option<MachineConfig> = store.get(NODE);
        let wanted = config.map(|config| config.cluster.etcd.snapshots);
        let wanted = wanted.filter(|wanted| wanted.keep > 0);
        let (Some(node), Some(wanted)) = (control_plane(store), wanted) else {
            store.remove::<EtcdSnapshotStatus>(NAME, NODE)?;
            return Ok(Action::WaitForChange);
        };
        let Some(settling) = self.until_settled(store) else {
            return Ok(Action::WaitForChange);
        };
        let kept = self.places.kept()?;
        let interval = wanted.interval.duration();
        let left = settling.max(until_due(SystemTime::now(), kept.first(), interval));
        if !left.is_zero() {
            if store.get::<EtcdSnapshotStatus>(NODE).is_none() {
                self.tell(store, &kept, None)?;
            }
            return Ok(Action::After(left));
        }
        let Ok(credentials) = credentials(store) else {
            return Ok(Action::WaitForChange);
        };
        let etcd = Etcd::connect(&credentials, self.ports.client(node.address));
        let taken = self.take(&etcd, wanted).await;
        let problem = taken
            .err()
            .map(|error| format!("no snapshot of etcd was taken: {}", chain(&error)));
        let again = match problem {
            Some(_) => AGAIN.min(interval),
            None => interval,
        };
        self.tell(store, &self.places.kept()?, problem)?;
        Ok(Action::After(again))
    }
}
