//! The controller `cluster-manifests`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use kubernetes_client::{Clients, INPUTS};
use machine_config::MachineConfig;
use state::kinds::{ClusterMember, ManifestState, ManifestStatus, NODE};
use state::{Action, Controller, ControllerError, Resource as _, Store, chain};
use tokio::time::Instant;

use crate::apply::{Applied, Cluster, Failure, GroupKind};
use crate::list::{List, Manifest, gather};
use crate::turn::{Turn, decide};

/// How long it waits for an API server that cannot be asked, or for an object that was refused.
const RETRY: Duration = Duration::from_secs(15);
/// How often it looks which list counts.
const LOOK: Duration = Duration::from_secs(60);
/// How often it applies again what is applied: somebody may have changed it.
const REPAIR: Duration = Duration::from_secs(600);
/// What stands in front of the reason while the API server cannot be asked.
const AWAY: &str = "waits for the API server";
const OTHERS: &str = "another control plane applied another list of manifests; it waits until its own changes, so give all control planes the same cluster.manifests and the same release";

/// Applies the manifests of the cluster, on control planes. Sole owner of `ManifestStatus`.
pub struct ClusterManifests {
    clients: Clients,
    /// Where the image is.
    root: PathBuf,
    /// Which list was last in agreement with the cluster's.
    remembered: PathBuf,
    /// The list that was applied without a failure, and when.
    done: Option<(String, Instant)>,
}

impl ClusterManifests {
    /// Makes the controller. Files of manifests are below `root`; which list was in agreement with the cluster's is kept in the
    /// file `remembered`.
    pub fn new(clients: Clients, root: PathBuf, remembered: PathBuf) -> Self {
        Self {
            clients,
            root,
            remembered,
            done: None,
        }
    }

    /// Does what is this node's to do, and returns the state of each manifest.
    async fn turn(&mut self, list: &List, cluster: &mut Cluster) -> Result<Vec<Outcome>, Failure> {
        let applied = cluster.applied().await?;
        let remembered = remembered(&self.remembered);
        let before = applied.as_ref().map(|applied| applied.digest.as_str());
        if decide(&list.digest, remembered.as_deref(), before) == Turn::Wait {
            self.remember(list, remembered.as_deref());
            let waits = || Outcome::of(ManifestState::Waiting, OTHERS);
            return Ok(list.manifests.iter().map(|_| waits()).collect());
        }
        let recent = |(digest, at): &(String, Instant)| *digest == list.digest && at.elapsed() < REPAIR;
        if before == Some(&list.digest) && self.done.as_ref().is_some_and(recent) {
            return Ok(list.manifests.iter().map(|_| Outcome::APPLIED).collect());
        }
        self.done = None;
        let ours = kinds(list);
        let mut all = applied.map(|applied| applied.kinds).unwrap_or_default();
        all.extend(ours.iter().cloned());
        let digest = list.digest.clone();
        let kinds = all.clone();
        cluster
            .note(&Applied {
                digest: digest.clone(),
                kinds,
            })
            .await?;
        self.remember(list, remembered.as_deref());
        let mut keep = Vec::new();
        let mut outcomes = Vec::new();
        for manifest in &list.manifests {
            outcomes.push(apply(cluster, manifest, &mut keep).await?);
        }
        // What could not be applied may be what is about to be deleted under another name: then nothing is.
        if outcomes
            .iter()
            .all(|outcome| outcome.state == ManifestState::Applied)
        {
            for id in cluster.prune(&all, &keep).await? {
                tracing::info!("cluster-manifests: deleted {id}, which no manifest has any more");
            }
            cluster.note(&Applied { digest, kinds: ours }).await?;
            self.done = Some((list.digest.clone(), Instant::now()));
        }
        Ok(outcomes)
    }

    /// Remembers the own list. A node that cannot is one that does not undo others' changes.
    fn remember(&self, list: &List, remembered: Option<&str>) {
        if remembered == Some(&list.digest) {
            return;
        }
        let text = format!("{}\n", list.digest);
        if let Err(error) = sys::durable::write(&self.remembered, text.as_bytes(), 0o644) {
            tracing::warn!("cannot write {}: {}", self.remembered.display(), chain(&error));
        }
    }
}

/// What became of a manifest.
#[derive(Debug, Clone)]
struct Outcome {
    state: ManifestState,
    message: Option<String>,
}

impl Outcome {
    const APPLIED: Self = Self {
        state: ManifestState::Applied,
        message: None,
    };

    fn of(state: ManifestState, message: impl Into<String>) -> Self {
        Self {
            state,
            message: Some(message.into()),
        }
    }
}

/// Applies a manifest, object by object. One that is refused does not keep the others from being applied.
async fn apply(
    cluster: &mut Cluster,
    manifest: &Manifest,
    keep: &mut Vec<crate::object::Id>,
) -> Result<Outcome, Failure> {
    let objects = match &manifest.objects {
        Ok(objects) => objects,
        Err(error) => return Ok(Outcome::of(ManifestState::Failed, error)),
    };
    let mut refused = None;
    for object in objects {
        match cluster.apply(object).await {
            Ok(id) => keep.push(id),
            Err(failure @ Failure::Unavailable(_)) => return Err(failure),
            Err(failure) => {
                refused.get_or_insert_with(|| format!("{}: {failure}", object.id));
            }
        }
    }
    Ok(match refused {
        None => Outcome::APPLIED,
        Some(message) => Outcome::of(ManifestState::Failed, message),
    })
}

fn kinds(list: &List) -> Vec<GroupKind> {
    let objects = list
        .manifests
        .iter()
        .filter_map(|manifest| manifest.objects.as_ref().ok())
        .flatten();
    let mut kinds: Vec<GroupKind> = objects
        .map(|object| (object.id.kind.clone(), object.id.group.clone()))
        .collect();
    kinds.sort();
    kinds.dedup();
    kinds
}

fn remembered(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let digest = text.trim_end();
    let fine = digest.len() == 32 && digest.bytes().all(|b| b.is_ascii_hexdigit());
    fine.then(|| digest.to_owned())
}

#[async_trait]
impl Controller for ClusterManifests {
    fn name(&self) -> &'static str {
        "cluster-manifests"
    }

    fn inputs(&self) -> &'static [&'static str] {
        &INPUTS
    }

    fn outputs(&self) -> &'static [&'static str] {
        &[ManifestStatus::KIND]
    }

    async fn reconcile(&mut self, store: &Store) -> Result<Action, ControllerError> {
        let member: Option<ClusterMember> = store.get(NODE);
        let member = member.filter(|member| member.control_plane);
        let (Some(config), Some(member)) = (store.get::<MachineConfig>(NODE), member) else {
            store.replace::<ManifestStatus>(self.name(), Vec::new())?;
            return Ok(Action::WaitForChange);
        };
        let list = gather(&config, &member.dns, &self.root);
        let waits = |why: String| vec![Outcome::of(ManifestState::Waiting, why); list.manifests.len()];
        let (outcomes, next) = match self.clients.get() {
            Err(missing) => (
                waits(format!("{AWAY}: {}", chain(&missing))),
                Action::WaitForChange,
            ),
            Ok(connection) => match self.turn(&list, &mut Cluster::new(connection.client)).await {
                Ok(outcomes) => {
                    let failed = outcomes
                        .iter()
                        .any(|outcome| outcome.state == ManifestState::Failed);
                    (outcomes, Action::After(if failed { RETRY } else { LOOK }))
                }
                Err(failure) => (
                    waits(format!("{AWAY}: {}", chain(&failure))),
                    Action::After(RETRY),
                ),
            },
        };
        let statuses = list.manifests.iter().zip(outcomes).zip(1..);
        let status = |((manifest, outcome), order): ((&Manifest, Outcome), u32)| {
            let objects = manifest.objects.as_ref().map_or(0, Vec::len);
            let status = ManifestStatus {
                order,
                source: manifest.source.clone(),
                objects: u32::try_from(objects).unwrap_or(u32::MAX),
                state: outcome.state,
                message: outcome.message,
            };
            (manifest.name.clone(), status)
        };
        store.replace(self.name(), statuses.map(status).collect())?;
        Ok(next)
    }
}
