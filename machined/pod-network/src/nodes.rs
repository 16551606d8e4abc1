//! Publishes the nodes and API servers that the cluster knows.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use kubernetes_client::Clients;
use machine_config::MachineConfig;
use state::kinds::{ApiServers, ClusterNode, NODE};
use state::{Action, Controller, ControllerError, Resource, Store};
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

use crate::remembered::{self, Remembered};
use crate::watch::{Seen, watch};

/// Publishes the nodes of the cluster and its API servers. Sole owner of [`ClusterNode`] and [`ApiServers`].
///
/// While the API is away, also from the start on, they are those that it named last.
pub struct ClusterNodes {
    clients: Clients,
    file: PathBuf,
    bell: Arc<Notify>,
    /// The cluster that is watched.
    watched: Option<Watched>,
}

struct Watched {
    /// What is known of it; at first what is remembered.
    known: Remembered,
    seen: Seen,
    _task: AbortOnDropHandle<()>,
}

impl ClusterNodes {
    /// Makes the controller. What it knows is written to a file on STATE.
    pub fn new(clients: Clients, file: PathBuf) -> Self {
        Self {
            clients,
            file,
            bell: Arc::default(),
            watched: None,
        }
    }

    fn start(&self, cluster: String) -> Watched {
        let known = remembered::load(&self.file, &cluster);
        let seen = Seen::default();
        Watched {
            known: known.unwrap_or_else(|| Remembered {
                cluster,
                ..Remembered::default()
            }),
            _task: watch(self.clients.clone(), seen.clone(), self.bell.clone()),
            seen,
        }
    }
}

/// Returns the identity of the cluster that a config names: what is remembered of another one is of no use.
fn identity(config: &MachineConfig) -> Option<String> {
    let cluster = &config.cluster;
    cluster.ca.as_ref()?;
    let endpoint = cluster.endpoint.as_ref().map(ToString::to_string);
    cluster.id.as_ref().map(ToString::to_string).or(endpoint)
}

#[async_trait]
impl Controller for ClusterNodes {
    fn name(&self) -> &'static str {
        "cluster-nodes"
    }

    fn inputs(&self) -> &'static [&'static str] {
        &[MachineConfig::KIND]
    }

    fn outputs(&self) -> &'static [&'static str] {
        &[ClusterNode::KIND, ApiServers::KIND]
    }

    fn wake(&self) -> Option<Arc<Notify>> {
        Some(self.bell.clone())
    }

    async fn reconcile(&mut self, store: &Store) -> Result<Action, ControllerError> {
        let config = store.get::<MachineConfig>(NODE);
        let Some(cluster) = config.as_ref().and_then(identity) else {
            self.watched = None;
            store.replace::<ClusterNode>(self.name(), Vec::new())?;
            store.remove::<ApiServers>(self.name(), NODE)?;
            // Without a config it may only not be there yet.
            if config.is_some() {
                remembered::forget(&self.file)?;
            }
            return Ok(Action::WaitForChange);
        };
        let watched = match self.watched.take() {
            Some(watched) if watched.known.cluster == cluster => self.watched.insert(watched),
            _ => {
                let started = self.start(cluster);
                self.watched.insert(started)
            }
        };
        let seen = watched.seen.get();
        if let Some(nodes) = seen.nodes {
            watched.known.nodes = nodes;
        }
        if let Some(servers) = seen.servers {
            watched.known.servers = servers;
        }
        let known = watched.known.clone();
        let nodes = known.nodes.clone().into_iter().collect();
        store.replace::<ClusterNode>("cluster-nodes", nodes)?;
        store.put("cluster-nodes", NODE, known.servers.clone())?;
        remembered::save(&self.file, &known)?;
        Ok(Action::WaitForChange)
    }
}
