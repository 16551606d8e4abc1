//! Keeps the balancer: whom it knows, and what it found.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use kubernetes::Ports;
use machine_config::MachineConfig;
use pki::Client;
use state::kinds::{ApiBalancerStatus, ApiServers, ClusterMember, ClusterPeer, ComponentCertificate, NODE};
use state::{Action, Controller, ControllerError, Resource, Store, tasks};
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

use crate::pool::Pool;
use crate::probe::{Identity, keep_asking};
use crate::relay::{listen, serve};
use crate::servers::{Target, candidates};

/// The name by which the API server knows the node's agent.
const CERTIFICATE: &str = "bedplate/kubernetes";

/// Brings what the node sends to the API server to one that is ready. Sole owner of [`ApiBalancerStatus`].
pub struct Balancer {
    port: u16,
    pool: Pool,
    identity: Identity,
    /// What the identity was made of.
    made_of: Option<(String, Option<ComponentCertificate>)>,
    probes: BTreeMap<Target, AbortOnDropHandle<()>>,
    /// Listens while the node is a member.
    relay: Option<AbortOnDropHandle<()>>,
}

impl Default for Balancer {
    fn default() -> Self {
        Self::at(Ports::default().api_balancer)
    }
}

impl Balancer {
    /// Makes one that listens on a port of the loopback interface.
    pub(crate) fn at(port: u16) -> Self {
        Self {
            port,
            pool: Pool::default(),
            identity: Identity::default(),
            made_of: None,
            probes: BTreeMap::new(),
            relay: None,
        }
    }

    /// Takes whom to trust, and the node's own certificate, from what the store holds.
    fn identify(&mut self, store: &Store) -> Result<(), ControllerError> {
        let config: Option<MachineConfig> = store.get(NODE);
        let Some(ca) = config.and_then(|config| config.cluster.ca) else {
            return Ok(());
        };
        let authority = ca.cert.as_str().to_owned();
        let own = store.get::<ComponentCertificate>(CERTIFICATE);
        let made_of = Some((authority, own));
        if made_of == self.made_of {
            return Ok(());
        }
        if let Some((authority, own)) = &made_of {
            let client = match own {
                Some(own) => Client::mutual(authority, &own.certificate, own.key.expose()),
                None => Client::trusting(authority),
            };
            self.identity.set(client?.over_http1());
        }
        self.made_of = made_of;
        Ok(())
    }

    fn stop(&mut self) {
        self.relay = None;
        self.probes.clear();
        self.pool.set("", &[]);
    }

    fn start(&mut self) {
        let (pool, port) = (self.pool.clone(), self.port);
        let run = move || {
            let pool = pool.clone();
            async move {
                let listener = listen(port)
                    .await
                    .map_err(|error| format!("cannot listen on port {port}: {error}"))?;
                serve(listener, pool).await;
                Ok::<(), String>(())
            }
        };
        self.relay
            .get_or_insert_with(|| tasks::keep("the balancer of API servers", run));
    }
}

#[async_trait]
impl Controller for Balancer {
    fn name(&self) -> &'static str {
        "api-balancer"
    }

    fn inputs(&self) -> &'static [&'static str] {
        &[
            MachineConfig::KIND,
            ClusterMember::KIND,
            ApiServers::KIND,
            ClusterPeer::KIND,
            ComponentCertificate::KIND,
        ]
    }

    fn outputs(&self) -> &'static [&'static str] {
        &[ApiBalancerStatus::KIND]
    }

    fn wake(&self) -> Option<Arc<Notify>> {
        Some(self.pool.bell())
    }

    async fn reconcile(&mut self, store: &Store) -> Result<Action, ControllerError> {
        let Some(member) = store.get::<ClusterMember>(NODE) else {
            self.stop();
            store.remove::<ApiBalancerStatus>(self.name(), NODE)?;
            return Ok(Action::WaitForChange);
        };
        self.identify(store)?;
        let known = store.get::<ApiServers>(NODE).unwrap_or_default();
        let peers: Vec<ClusterPeer> = store.list().into_iter().map(|(_, peer)| peer).collect();
        let candidates = candidates(&member, &known, &peers);
        self.pool.set(&member.node, &candidates);
        self.probes
            .retain(|target, _| candidates.iter().any(|(known, _)| known == target));
        for (target, _) in candidates {
            let (pool, identity) = (self.pool.clone(), self.identity.clone());
            self.probes
                .entry(target)
                .or_insert_with_key(|target| keep_asking(pool, target.clone(), identity));
        }
        self.start();
        let status = ApiBalancerStatus {
            listens: format!("127.0.0.1:{}", self.port),
            servers: self.pool.shown(),
        };
        store.put(self.name(), NODE, status)?;
        Ok(Action::WaitForChange)
    }
}

#[cfg(test)]
mod tests;
