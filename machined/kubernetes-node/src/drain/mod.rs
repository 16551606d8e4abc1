//! Draining the node before it reboots into another system.

mod choose;
mod evict;

use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::api::ListParams;
use kubernetes::Release;
use kubernetes_client::{Clients, Missing, limited};
use node::events::Events;
use state::Store;
use state::kinds::{ClusterMember, NODE};
use tokio::time::{Instant, sleep};

use crate::cordon::{Cordons, cordon, is_cordoned};
use choose::{Choice, choose};
use evict::{Evicted, evict};

/// How long pods may take to go. A node that is to be rebooted does not wait longer for it.
const DEADLINE: Duration = Duration::from_secs(240);
/// How long it waits between two looks. A PodDisruptionBudget may allow another eviction then.
const LOOK: Duration = Duration::from_secs(3);
/// How often the API server may fail to answer in a row before draining ends.
const FAILURES: u32 = 5;

/// Cordons the node, and evicts its pods as far as PodDisruptionBudgets allow, before the node reboots.
///
/// Pods of DaemonSets, mirror pods, pods that have ended, and pods without a controller stay: nobody would start them
/// elsewhere. A node without another one that could take its pods is cordoned only, as long as it is away.
pub struct Drain {
    store: Store,
    agent: Clients,
    kubelet: Clients,
    cordons: Cordons,
    events: Events,
    deadline: Duration,
}

/// Why the node is rebooted with pods on it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no client of the API server.
    #[error("the node is not drained")]
    NoClient(#[from] Missing),
    /// The API server refused something, or does not answer.
    #[error("the API server does not let the node be drained: {}", kubernetes_client::reason(.0))]
    Api(kube::Error),
    /// Pods are still there.
    #[error("after {} s there are still pods: {left}", limit.as_secs())]
    Deadline {
        /// How long it was tried.
        limit: Duration,
        /// Which, each with why.
        left: String,
    },
}

impl From<kube::Error> for Error {
    fn from(error: kube::Error) -> Self {
        Self::Api(error)
    }
}

impl Drain {
    /// Makes the hook.
    pub fn new(store: Store, events: Events, cordons: Cordons) -> Self {
        Self {
            agent: Clients::new(store.clone()),
            kubelet: Clients::of_kubelet(store.clone()),
            store,
            cordons,
            events,
            deadline: DEADLINE,
        }
    }

    /// Changes how long pods may take to go.
    #[must_use]
    pub fn within(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// Names the hook, for the log.
    pub const NAME: &'static str = "draining";

    /// Drains the node; does nothing on a node that is no member of a cluster.
    ///
    /// # Errors
    ///
    /// What keeps it from being drained; it may be cordoned then.
    pub async fn prepare(&self) -> Result<(), Error> {
        let Some(member) = self.store.get::<ClusterMember>(NODE) else {
            return Ok(());
        };
        self.cordons.begin();
        let client = self.kubelet.get()?.client;
        let nodes: Api<Node> = Api::all(client.clone());
        patiently(|| cordon(&nodes, &member.node)).await?;
        if !self.others_take_pods(&member.node).await? {
            let said = "no other node takes pods: they stay, and start again after the reboot";
            self.events.info(Self::NAME, said);
            return Ok(());
        }
        let release = member.kubernetes.parse().and_then(Release::of);
        let api = release.map_or("policy/v1", |release| release.eviction());
        let begun = Instant::now();
        let mut evicted = 0_u32;
        let mut last = Vec::new();
        loop {
            let pods: Api<Pod> = Api::all(client.clone());
            let own = ListParams::default().fields(&format!("spec.nodeName={}", member.node));
            let found = patiently(|| limited(pods.list(&own))).await?;
            let Choice { evict: wanted, going } = choose(&found.items);
            if wanted.is_empty() && going.is_empty() {
                self.events.info(Self::NAME, format!("evicted {evicted} pods"));
                return Ok(());
            }
            let mut left: Vec<String> = going.iter().map(|pod| format!("{pod} is ending")).collect();
            for pod in &wanted {
                match evict(&client, api, pod).await? {
                    Evicted::Yes => evicted += 1,
                    Evicted::NotYet(why) => left.push(format!("{pod}: {why}")),
                }
            }
            // What has just been evicted is ending by the next look.
            if begun.elapsed() + LOOK > self.deadline {
                last.clone_from(&left);
                if last.is_empty() {
                    last.extend(wanted.iter().map(|pod| format!("{pod} is ending")));
                }
                return Err(Error::Deadline {
                    limit: self.deadline,
                    left: last.join("; "),
                });
            }
            sleep(LOOK).await;
        }
    }

    /// Returns whether another node could take pods.
    async fn others_take_pods(&self, own: &str) -> Result<bool, Error> {
        let nodes: Api<Node> = Api::all(self.agent.get()?.client);
        let all = ListParams::default();
        let all = patiently(|| limited(nodes.list(&all))).await?;
        let takes = |node: &Node| {
            let conditions = node
                .status
                .as_ref()
                .and_then(|status| status.conditions.as_deref());
            let mut conditions = conditions.unwrap_or_default().iter();
            let ready = conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True");
            node.metadata.name.as_deref() != Some(own) && ready && !is_cordoned(node)
        };
        Ok(all.items.iter().any(takes))
    }
}

/// Asks again a few times where the API server does not answer: another one may take over.
async fn patiently<T, F: Future<Output = kube::Result<T>>>(mut ask: impl FnMut() -> F) -> kube::Result<T> {
    for _ in 1..FAILURES {
        match ask().await {
            Err(kube::Error::Api(status)) if status.code < 500 && status.code != 409 => {
                return Err(kube::Error::Api(status));
            }
            Err(_) => sleep(LOOK).await,
            done => return done,
        }
    }
    ask().await
}
