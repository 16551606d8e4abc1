//! The certificates of a control plane's components, which it signs itself.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kubernetes::{Identity, identity};
use machine_config::MachineConfig;
use pki::NodeClock;
use release_file::KubernetesPrograms;
use state::kinds::{
    AddressStatus, ClusterMember, ComponentCertificate, HostNameStatus, NODE, RouteStatus, TimeStatus,
};
use state::{Action, Controller, ControllerError, Resource, Store};
use sys::clock::Clock;

use crate::credentials::{self, AGENT, Authorities};
use crate::member::{self, Member};
use crate::plan::{Membership, components};

/// How often it is looked whether a certificate is due: the clock may be set by others than us.
const LOOK: Duration = Duration::from_secs(60);

/// Signs the certificates of a control plane's components, and renews them. Owner of its own [`ComponentCertificate`]s.
pub struct CertificateController {
    programs: Option<KubernetesPrograms>,
    trust: Arc<NodeClock>,
    clock: Box<dyn Clock>,
}

impl CertificateController {
    /// Makes the controller of a node with these programs in its image. Certificates are dated by what `trust` knows of
    /// the time.
    pub fn new(programs: Option<KubernetesPrograms>, trust: Arc<NodeClock>, clock: Box<dyn Clock>) -> Self {
        Self {
            programs,
            trust,
            clock,
        }
    }
}

/// Returns every identity that a control plane needs, each with the name of its component. Pure.
fn needed(member: &Member) -> Result<Vec<(&'static str, Identity)>, kubernetes::Error> {
    // Who a component is does not depend on how etcd starts.
    let all = components(member, Membership::First, Default::default())?;
    let of_components = all.into_iter().flat_map(|component| {
        let name = component.kind.name();
        component
            .identities
            .into_iter()
            .map(move |identity| (name, identity))
    });
    let node = &member.wanted.node;
    let own = [
        identity::administrating_agent(node),
        identity::agent_of_etcd(node),
    ];
    Ok(of_components
        .chain(own.map(|identity| (AGENT, identity)))
        .collect())
}

#[async_trait]
impl Controller for CertificateController {
    fn name(&self) -> &'static str {
        "cluster-certificates"
    }

    fn inputs(&self) -> &'static [&'static str] {
        &[
            MachineConfig::KIND,
            ClusterMember::KIND,
            HostNameStatus::KIND,
            AddressStatus::KIND,
            RouteStatus::KIND,
            TimeStatus::KIND,
        ]
    }

    fn outputs(&self) -> &'static [&'static str] {
        &[]
    }

    fn shared_outputs(&self) -> &'static [&'static str] {
        &[ComponentCertificate::KIND]
    }

    async fn reconcile(&mut self, store: &Store) -> Result<Action, ControllerError> {
        let member = match member::of_store(store, self.programs.as_ref()) {
            Ok(member) => member,
            Err(_) => return Ok(Action::WaitForChange),
        };
        let Some(member) = member.filter(|member| member.wanted.control_plane.is_some()) else {
            store.replace::<ComponentCertificate>(self.name(), Vec::new())?;
            return Ok(Action::WaitForChange);
        };
        let config = store.get::<MachineConfig>(NODE);
        let authorities = config.as_ref().map(Authorities::of).transpose()?.flatten();
        let Some(authorities) = authorities else {
            return Ok(Action::WaitForChange);
        };
        self.trust.raise_floor(authorities.begin());
        let system = self.clock.now();
        let now = self.trust.now(system);
        let mut all = Vec::new();
        for (component, identity) in needed(&member)? {
            let id = credentials::id(component, &identity);
            let held: Option<ComponentCertificate> = store.get(&id);
            let kept = held.filter(|held| !credentials::is_due(Some(held), &identity, &authorities, now));
            let certificate = match kept {
                Some(kept) => kept,
                None => authorities.sign(&identity, self.trust.plan(system))?,
            };
            all.push((id, certificate));
        }
        store.replace(self.name(), all)?;
        Ok(Action::After(LOOK))
    }
}
