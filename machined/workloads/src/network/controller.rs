//! Keeps the network of workloads on the bridge.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use machine_config::MachineConfig;
use machine_config::v1alpha1::{NetworkMode, Workload};
use node::packet_filter::Rules;
use state::kinds::{AddressStatus, ClusterMember, NODE, RouteStatus, WorkloadNetworkStatus};
use state::{Action, Controller, ControllerError, Resource as _, Store};
use tokio::time::Instant;

use super::bridge::Bridge;
use super::{hosts, plan, rules};

const NAME: &str = "workload-network";
/// How often what others may have changed is put right without an event.
const RESYNC: Duration = Duration::from_secs(60);
/// How soon it is tried again when something failed.
const AGAIN: Duration = Duration::from_secs(5);

/// The controller of the bridge. Sole owner of [`WorkloadNetworkStatus`].
pub struct WorkloadNetwork<B, R> {
    bridge: B,
    rules: R,
    hosts: PathBuf,
    /// The rules in force, and since when.
    applied: Option<(String, Instant)>,
}

impl<B: Bridge, R: Rules> WorkloadNetwork<B, R> {
    /// Makes the controller. `hosts` is the file with the names of workloads.
    pub fn new(bridge: B, rules: R, hosts: PathBuf) -> Self {
        Self {
            bridge,
            rules,
            hosts,
            applied: None,
        }
    }

    /// Puts the rules in force where they are new, or it is some time ago.
    async fn apply(&mut self, rules: String) -> Result<(), ControllerError> {
        let fresh = |(applied, since): &(String, Instant)| *applied == rules && since.elapsed() < RESYNC;
        if self.applied.as_ref().is_some_and(fresh) {
            return Ok(());
        }
        self.applied = None;
        self.rules.apply(&rules).await?;
        self.applied = Some((rules, Instant::now()));
        Ok(())
    }

    /// Removes everything, where there is something.
    async fn remove(&mut self, store: &Store) -> Result<(), ControllerError> {
        if self.applied.is_some() || store.get::<WorkloadNetworkStatus>(NODE).is_some() {
            self.bridge.remove().await?;
            self.rules.apply(&rules::none()).await?;
            self.applied = None;
        }
        store.remove::<WorkloadNetworkStatus>(NAME, NODE)?;
        Ok(())
    }

    async fn keep(
        &mut self,
        workloads: &[&Workload],
        status: &WorkloadNetworkStatus,
    ) -> Result<(), ControllerError> {
        let subnet = status.subnet;
        self.bridge.make(plan::gateway(subnet), subnet.length).await?;
        hosts::write(&self.hosts, &hosts::text(&status.addresses))?;
        let ports: Vec<_> = workloads
            .iter()
            .filter_map(|one| Some((one, status.addresses.get(one.name.as_str())?)))
            .flat_map(|(one, address)| one.network.ports.iter().map(|port| (*address, port)))
            .collect();
        self.apply(rules::ruleset(subnet, &ports)).await
    }
}

#[async_trait]
impl<B: Bridge, R: Rules> Controller for WorkloadNetwork<B, R> {
    fn name(&self) -> &'static str {
        NAME
    }

    fn inputs(&self) -> &'static [&'static str] {
        &[
            MachineConfig::KIND,
            AddressStatus::KIND,
            RouteStatus::KIND,
            ClusterMember::KIND,
        ]
    }

    fn outputs(&self) -> &'static [&'static str] {
        &[WorkloadNetworkStatus::KIND]
    }

    async fn reconcile(&mut self, store: &Store) -> Result<Action, ControllerError> {
        let config: Option<MachineConfig> = store.get(NODE);
        let (all, network) = config
            .map(|config| (config.workloads, config.machine.network))
            .unwrap_or_default();
        let on_bridge = |one: &&Workload| one.network.mode == NetworkMode::Bridge;
        let workloads: Vec<&Workload> = all.iter().filter(on_bridge).collect();
        if workloads.is_empty() {
            self.remove(store).await?;
            return Ok(Action::WaitForChange);
        }
        let subnet = network.workload_subnet();
        let before: Option<WorkloadNetworkStatus> = store.get(NODE);
        let before = before.map(|status| status.addresses).unwrap_or_default();
        let names: Vec<&str> = workloads.iter().map(|one| one.name.as_str()).collect();
        let list = |(_, status)| status;
        let addresses: Vec<_> = store.list::<AddressStatus>().into_iter().map(list).collect();
        let routes: Vec<_> = store
            .list::<RouteStatus>()
            .into_iter()
            .map(|(_, one)| one)
            .collect();
        let cluster: Option<ClusterMember> = store.get(NODE);
        let cluster = cluster.map_or(Vec::new(), |member| [member.pods, member.services].concat());
        let mut status = WorkloadNetworkStatus {
            subnet,
            addresses: BTreeMap::new(),
            problem: plan::collision(subnet, &addresses, &routes, &cluster),
        };
        if status.problem.is_some() {
            store.put(NAME, NODE, status)?;
            return Ok(Action::After(RESYNC));
        }
        status.addresses = plan::addresses(subnet, &names, &before);
        let kept = self.keep(&workloads, &status).await;
        status.problem = kept.as_ref().err().map(ControllerError::chain);
        store.put(NAME, NODE, status)?;
        Ok(Action::After(if kept.is_ok() { RESYNC } else { AGAIN }))
    }
}

#[cfg(test)]
mod tests;
