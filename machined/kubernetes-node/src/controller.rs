//! The controller `kubernetes-node`.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use kubernetes::Release;
use kubernetes_client::{Clients, INPUTS, limited};
use machine_config::MachineConfig;
use machine_config::v1alpha1::Role;
use state::kinds::{
    BootStatus, ClusterMember, ClusterNodeStatus, ClusterStatus, KubernetesNodeStatus, MeshStatus, NODE,
    TrialStatus,
};
use state::{Action, Controller, ControllerError, Resource as _, Store, chain};
use tokio::time::Instant;

use crate::cordon::{Cordons, is_cordoned, uncordon};
use crate::marks::{CONTROL_PLANE, Wanted, patch};
use crate::observe::problem;
use crate::remembered::Remembered;
use crate::survey::survey;

/// How often it looks: a kubelet that stops being Ready is seen that soon.
const LOOK: Duration = Duration::from_secs(10);
/// How often a control plane lists all nodes.
const SURVEY: Duration = Duration::from_secs(20);
/// How long an API server may be away before the node counts as not Ready: another one takes over within that time.
const AWAY: Duration = Duration::from_secs(60);

/// Watches the node as an object of Kubernetes, and keeps its labels and taints. Sole owner of
/// [`KubernetesNodeStatus`] and, on control planes, of [`ClusterNodeStatus`].
pub struct KubernetesNode {
    /// The client with the identity of the node's agent, which may do everything on a control plane.
    agent: Clients,
    /// The client with the identity of its kubelet.
    kubelet: Clients,
    remembered: Remembered,
    cordons: Cordons,
    /// When the API server answered last.
    answered: Option<Instant>,
    /// When all nodes were listed last.
    surveyed: Option<Instant>,
}

/// Why nothing is known of the node.
#[derive(Debug, thiserror::Error)]
enum Unknown {
    /// The node has no client yet.
    #[error(transparent)]
    NoClient(#[from] kubernetes_client::Missing),
    /// The API server does not know it.
    #[error("kubelet has not registered the node with the API server yet")]
    NotRegistered,
    /// The API server does not answer, or not so.
    #[error("the API server cannot be asked for the node: {}", kubernetes_client::reason(.0))]
    Api(kube::Error),
}

impl From<kube::Error> for Unknown {
    fn from(error: kube::Error) -> Self {
        Self::Api(error)
    }
}

impl KubernetesNode {
    /// Makes the controller. That the node was Ready is kept in the file `remembered`, on STATE.
    pub fn new(store: Store, remembered: PathBuf, cordons: Cordons) -> Self {
        Self {
            agent: Clients::new(store.clone()),
            kubelet: Clients::of_kubelet(store),
            remembered: Remembered::new(remembered),
            cordons,
            answered: None,
            surveyed: None,
        }
    }

    /// Looks at the object, and makes true what is to be.
    async fn look(
        &self,
        store: &Store,
        config: &MachineConfig,
        member: &ClusterMember,
    ) -> Result<Node, Unknown> {
        let name = member.node.as_str();
        let own: Api<Node> = Api::all(self.kubelet.get()?.client);
        let found = limited(own.get_opt(name)).await?;
        let node = found.ok_or(Unknown::NotRegistered)?;
        let mut wanted = match member.control_plane {
            false => Wanted::of_worker(config),
            true => self.of_control_plane(config, member).await?,
        };
        wanted.mesh_key = store.get::<MeshStatus>(NODE).map(|mesh| mesh.public_key);
        if let Some(patch) = patch(&node, &wanted) {
            let api = match member.control_plane {
                false => own.clone(),
                true => Api::all(self.agent.get()?.client),
            };
            // Somebody else changed the object at the same time: the next look sees that.
            ignore_conflict(
                limited(api.patch(name, &PatchParams::default(), &Patch::Merge(patch)))
                    .await
                    .map(drop),
            )?;
        }
        let ready = problem(&node, boot_id(store).as_deref()).is_none();
        if self
            .cordons
            .are_over(&node, ready, store.get::<TrialStatus>(NODE).as_ref())
        {
            ignore_conflict(uncordon(&own, &node, name).await)?;
        }
        Ok(node)
    }

    async fn of_control_plane(
        &self,
        config: &MachineConfig,
        member: &ClusterMember,
    ) -> Result<Wanted, Unknown> {
        let nodes: Api<Node> = Api::all(self.agent.get()?.client);
        let workers = ListParams::default()
            .labels(&format!("!{CONTROL_PLANE}"))
            .limit(2);
        // This node may not have its label yet.
        let workers = limited(nodes.list_metadata(&workers)).await?;
        let others = |found: &kube::core::PartialObjectMeta<Node>| {
            found.metadata.name.as_deref() != Some(&member.node)
        };
        let has_workers = workers.items.iter().any(others);
        let release = member.kubernetes.parse().and_then(Release::of);
        let taint = release.map_or(CONTROL_PLANE, |release| release.control_plane_taint());
        Ok(Wanted::of_control_plane(config, taint, has_workers))
    }

    /// Lists all nodes, on a control plane. While the API server is away they stay as they were.
    async fn survey(&mut self, store: &Store, member: &ClusterMember) -> Result<(), ControllerError> {
        // A cluster without nodes is one that is just beginning.
        let known = !store.list::<ClusterNodeStatus>().is_empty();
        let recent = known && self.surveyed.is_some_and(|at| at.elapsed() < SURVEY);
        let (true, false, Ok(connection)) = (member.control_plane, recent, self.agent.get()) else {
            return Ok(());
        };
        if let Ok(nodes) = survey(connection.client).await {
            store.replace(self.name(), nodes)?;
            self.surveyed = Some(Instant::now());
        }
        Ok(())
    }

    /// Sums up what was found.
    fn status(
        &mut self,
        store: &Store,
        config: &MachineConfig,
        found: &Result<Node, Unknown>,
    ) -> KubernetesNodeStatus {
        let before: KubernetesNodeStatus = store.get(NODE).unwrap_or_default();
        let was_ready = before.was_ready || self.remembered.was_ready(config);
        match found {
            Ok(node) => {
                self.answered = Some(Instant::now());
                let problem = problem(node, boot_id(store).as_deref());
                if problem.is_none() && !was_ready {
                    self.remembered.set(config);
                }
                KubernetesNodeStatus {
                    ready: problem.is_none(),
                    was_ready: was_ready || problem.is_none(),
                    problem,
                    cordoned: is_cordoned(node),
                }
            }
            Err(Unknown::Api(_)) if before.ready && self.answered.is_some_and(|at| at.elapsed() < AWAY) => {
                before
            }
            Err(unknown) => KubernetesNodeStatus {
                ready: false,
                was_ready,
                problem: Some(chain(unknown)),
                cordoned: before.cordoned,
            },
        }
    }
}

fn ignore_conflict(done: kube::Result<()>) -> kube::Result<()> {
    match done {
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        done => done,
    }
}

/// Returns the ID of this boot of the kernel, by which kubelet says that it ran since then.
fn boot_id(store: &Store) -> Option<String> {
    let boot: BootStatus = store.get(NODE)?;
    Some(boot.boot_id).filter(|id| !id.is_empty())
}

/// Returns the config, if it has Kubernetes.
fn with_kubernetes(store: &Store) -> Option<MachineConfig> {
    let config: MachineConfig = store.get(NODE)?;
    let runs = config.cluster.ca.is_some() && config.machine.role != Role::Standalone;
    runs.then_some(config)
}

#[async_trait]
impl Controller for KubernetesNode {
    fn name(&self) -> &'static str {
        "kubernetes-node"
    }

    fn inputs(&self) -> &'static [&'static str] {
        const ALL: [&str; 5] = [
            INPUTS[0],
            INPUTS[1],
            INPUTS[2],
            ClusterStatus::KIND,
            TrialStatus::KIND,
        ];
        &ALL
    }

    fn outputs(&self) -> &'static [&'static str] {
        &[KubernetesNodeStatus::KIND, ClusterNodeStatus::KIND]
    }

    async fn reconcile(&mut self, store: &Store) -> Result<Action, ControllerError> {
        let Some(config) = with_kubernetes(store) else {
            store.remove::<KubernetesNodeStatus>(self.name(), NODE)?;
            store.replace::<ClusterNodeStatus>(self.name(), Vec::new())?;
            return Ok(Action::WaitForChange);
        };
        let status = match store.get::<ClusterMember>(NODE) {
            Some(member) => {
                let found = self.look(store, &config, &member).await;
                self.survey(store, &member).await?;
                self.status(store, &config, &found)
            }
            None => {
                let waits = store
                    .get::<ClusterStatus>(NODE)
                    .and_then(|status| status.waits_for);
                KubernetesNodeStatus {
                    ready: false,
                    was_ready: self.remembered.was_ready(&config),
                    problem: Some(waits.unwrap_or_else(|| kubernetes_client::Missing::Member.to_string())),
                    cordoned: false,
                }
            }
        };
        store.put(self.name(), NODE, status)?;
        Ok(Action::After(LOOK))
    }
}
