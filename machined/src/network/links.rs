//! Keeps the kernel's interfaces, addresses and routes as the specs say.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;

use super::kernel::{Kernel, NetlinkError, Observed};
use super::plan::{Change, Desired, plan};
use super::resources::{
    AddressSpec, AddressStatus, LinkSpec, LinkStatus, RouteSpec, RouteStatus, address_id, route_id,
};
use crate::controller::{Action, Controller, ControllerError, chain};
use crate::resource::{OwnerConflict, Resource, Store};

/// How often everything is looked at without a reason: the kernel may drop events when there are too many.
const RESYNC: Duration = Duration::from_secs(60);

/// Publishes what the kernel has, and makes it what the specs say.
///
/// Sole owner of `LinkStatus`, `AddressStatus` and `RouteStatus`.
pub struct Links<K> {
    kernel: K,
}

impl<K: Kernel> Links<K> {
    /// Makes the controller of a kernel.
    pub fn new(kernel: K) -> Self {
        Self { kernel }
    }

    /// Does each change; one that fails stops none of the others.
    async fn carry_out(&self, changes: &[Change]) -> Vec<NetlinkError> {
        let mut failures = Vec::new();
        for change in changes {
            match self.kernel.apply(change).await {
                Ok(()) => tracing::info!("network: {change}: done"),
                Err(error) => failures.push(error),
            }
        }
        failures
    }

    fn publish(&self, store: &Store, observed: &Observed) -> Result<(), OwnerConflict> {
        let Observed {
            links,
            addresses,
            routes,
        } = observed.clone();
        let address = |address: AddressStatus| (address_id(&address.link, address.address), address);
        let route = |route: RouteStatus| (route_id(&route.link, route.to, route.metric, route.via), route);
        store.replace::<LinkStatus>(self.name(), links.into_iter().collect())?;
        store.replace::<AddressStatus>(self.name(), addresses.into_iter().map(address).collect())?;
        store.replace::<RouteStatus>(self.name(), routes.into_iter().map(route).collect())
    }
}

#[async_trait]
impl<K: Kernel> Controller for Links<K> {
    fn name(&self) -> &'static str {
        "network-links"
    }

    fn inputs(&self) -> &'static [&'static str] {
        &[LinkSpec::KIND, AddressSpec::KIND, RouteSpec::KIND]
    }

    fn outputs(&self) -> &'static [&'static str] {
        &[LinkStatus::KIND, AddressStatus::KIND, RouteStatus::KIND]
    }

    fn wake(&self) -> Option<Arc<Notify>> {
        Some(self.kernel.bell())
    }

    async fn reconcile(&mut self, store: &Store) -> Result<Action, ControllerError> {
        let observed = self.kernel.observe().await?;
        self.publish(store, &observed)?;
        let desired = Desired {
            links: BTreeMap::from_iter(store.list::<LinkSpec>()),
            addresses: store
                .list::<AddressSpec>()
                .into_iter()
                .map(|(_, spec)| spec)
                .collect(),
            routes: store
                .list::<RouteSpec>()
                .into_iter()
                .map(|(_, spec)| spec)
                .collect(),
        };
        let changes = plan(&desired, &observed);
        if !changes.is_empty() {
            let failures = self.carry_out(&changes).await;
            self.publish(store, &self.kernel.observe().await?)?;
            if !failures.is_empty() {
                let lines: Vec<_> = failures.iter().map(|error| chain(error)).collect();
                return Err(ControllerError::msg(lines.join("; ")));
            }
        }
        Ok(Action::After(RESYNC))
    }
}

#[cfg(test)]
mod tests {
    use super::super::kernel::RecordingKernel;
    use super::super::resources::LinkKind;
    use super::*;
    use crate::testkit::settle_one;

    fn eth0() -> LinkStatus {
        LinkStatus {
            index: 2,
            mac_address: None,
            mtu: 1500,
            up: false,
            carrier: false,
            kind: LinkKind::Ethernet,
        }
    }

    fn asked() -> Store {
        let store = Store::new();
        let address = AddressSpec {
            link: "eth0".into(),
            address: "10.0.0.2/24".parse().unwrap(),
        };
        store.put("t", "eth0", LinkSpec { mtu: None }).unwrap();
        store.put("t", "eth0/10.0.0.2/24", address).unwrap();
        store
    }

    #[tokio::test]
    async fn what_somebody_removed_comes_back() {
        let kernel = RecordingKernel::with([("eth0", eth0())]);
        let (store, mut links) = (asked(), Links::new(kernel.clone()));
        settle_one(&store, &mut links).await.unwrap();
        assert!(store.get::<LinkStatus>("eth0").unwrap().up);
        assert!(store.get::<AddressStatus>("eth0/10.0.0.2/24").unwrap().ours);
        kernel.take_changes();
        kernel.edit(|now| now.addresses.clear());
        settle_one(&store, &mut links).await.unwrap();
        assert_eq!(kernel.take_changes().len(), 1);
        assert!(store.get::<AddressStatus>("eth0/10.0.0.2/24").is_some());
        settle_one(&store, &mut links).await.unwrap();
        assert_eq!(kernel.take_changes(), [], "at rest nothing is touched");
    }

    #[tokio::test]
    async fn what_is_no_longer_asked_for_goes() {
        let kernel = RecordingKernel::with([("eth0", eth0())]);
        let (store, mut links) = (asked(), Links::new(kernel));
        settle_one(&store, &mut links).await.unwrap();
        store.remove::<AddressSpec>("t", "eth0/10.0.0.2/24").unwrap();
        settle_one(&store, &mut links).await.unwrap();
        assert_eq!(store.list::<AddressStatus>(), []);
    }

    #[tokio::test]
    async fn one_refusal_does_not_stop_the_rest_and_is_told() {
        let kernel = RecordingKernel::with([("eth0", eth0())]);
        kernel.refuse(Change::SetUp { link: "eth0".into() });
        let (store, mut links) = (asked(), Links::new(kernel.clone()));
        let error = links.reconcile(&store).await.unwrap_err();
        assert_eq!(error.chain(), "cannot switch on eth0: refused");
        assert!(store.get::<AddressStatus>("eth0/10.0.0.2/24").is_some());
    }
}
