//! Keeps the kernel's interfaces, addresses and routes as the specs say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use state::kinds::network::{address_id, route_id};
use state::kinds::{
    AddressSpec, AddressStatus, LinkSpec, LinkStatus, RouteSpec, RouteStatus, RouterAdvertisement,
};
use state::{Action, Controller, ControllerError, OwnerConflict, Resource, Store, chain};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::kernel::{Kernel, NetlinkError};
use super::plan::{Change, Desired, Observed, plan};

/// The interval of checks without an event: the kernel may drop events when there are too many.
const RESYNC: Duration = Duration::from_secs(60);

/// Publishes the kernel's state, and applies the specs.
///
/// Sole owner of `LinkStatus`, `AddressStatus`, `RouteStatus` and `RouterAdvertisement`.
pub struct Links<K> {
    kernel: K,
    /// Interfaces that had a carrier at the last check.
    carried: BTreeSet<String>,
    /// Interfaces whose routers are being solicited.
    asking: BTreeMap<String, Asking>,
    /// Packet sizes that a driver refused: a retry has the same result.
    refused: BTreeMap<String, Refused>,
}

/// How often routers are solicited after a new carrier, and the interval, as in RFC 4861, 10: the first time may be
/// too early for a switch or a router that was switched on together with the cable.
const QUESTIONS: u32 = 3;
const BETWEEN_QUESTIONS: Duration = Duration::from_secs(4);

struct Asking {
    left: u32,
    next: Instant,
}

struct Refused {
    index: u32,
    mtu: u32,
}

impl<K: Kernel> Links<K> {
    /// Makes the controller.
    pub fn new(kernel: K) -> Self {
        Self {
            kernel,
            carried: BTreeSet::new(),
            asking: BTreeMap::new(),
            refused: BTreeMap::new(),
        }
    }

    /// Observes the kernel, and adds its known refusals.
    async fn observe(&mut self) -> Result<Observed, NetlinkError> {
        let mut observed = self.kernel.observe().await?;
        self.refused.retain(|name, refused| {
            observed
                .links
                .get(name)
                .is_some_and(|link| link.index == refused.index)
        });
        for (name, refused) in &self.refused {
            if let Some(link) = observed.links.get_mut(name) {
                link.refused_mtu = Some(refused.mtu);
            }
        }
        Ok(observed)
    }

    /// Returns the interfaces to solicit on: a new cable may lead to other routers, which the kernel does not solicit.
    fn ask_anew(&mut self, observed: &Observed) -> Vec<Change> {
        let carried = observed.links.iter().filter(|(_, link)| link.carrier);
        let carried: BTreeSet<String> = carried.map(|(name, _)| name.clone()).collect();
        let accepts = |name: &&String| {
            let link = observed.links.get(*name);
            link.and_then(|link| link.ipv6)
                .is_some_and(|ipv6| ipv6.accepts_routers)
        };
        let now = Instant::now();
        for fresh in carried.difference(&self.carried).filter(accepts) {
            let (left, next) = (QUESTIONS, now);
            self.asking.insert(fresh.clone(), Asking { left, next });
        }
        self.asking
            .retain(|link, asking| asking.left > 0 && carried.contains(link));
        self.carried = carried;
        let mut changes = Vec::new();
        for (link, asking) in self.asking.iter_mut().filter(|(_, asking)| asking.next <= now) {
            changes.push(Change::AskRouters { link: link.clone() });
            (asking.left, asking.next) = (asking.left - 1, now + BETWEEN_QUESTIONS);
        }
        changes
    }

    /// Returns when to check again without an event.
    fn next_look(&self) -> Duration {
        let questions = self.asking.values().map(|asking| asking.next);
        let next = questions
            .min()
            .map(|next| next.saturating_duration_since(Instant::now()));
        next.map_or(RESYNC, |next| next.min(RESYNC))
    }

    /// Applies each change; one that fails does not stop the others.
    async fn carry_out(&mut self, changes: &[Change], observed: &Observed) -> Vec<NetlinkError> {
        let mut failures = Vec::new();
        for change in changes {
            match (self.kernel.apply(change).await, change) {
                (Ok(()), _) => tracing::info!("network: {change}: done"),
                (Err(error), Change::SetMtu { link, mtu }) if error.is_invalid() => {
                    tracing::warn!("network: {}; it stays as it is", chain(&error));
                    let index = observed.links.get(link).map_or(0, |link| link.index);
                    self.refused.insert(link.clone(), Refused { index, mtu: *mtu });
                }
                (Err(error), _) => failures.push(error),
            }
        }
        failures
    }

    fn publish(&self, store: &Store, observed: &Observed) -> Result<(), OwnerConflict> {
        let Observed {
            links,
            addresses,
            routes,
            advertised,
        } = observed.clone();
        let address = |address: AddressStatus| (address_id(&address.link, address.address), address);
        let route = |route: RouteStatus| (route_id(&route.link, route.to, route.metric, route.via), route);
        store.replace::<LinkStatus>(self.name(), links.into_iter().collect())?;
        store.replace::<RouterAdvertisement>(self.name(), advertised.into_iter().collect())?;
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
        &[
            LinkStatus::KIND,
            AddressStatus::KIND,
            RouteStatus::KIND,
            RouterAdvertisement::KIND,
        ]
    }

    fn wake(&self) -> Option<Arc<Notify>> {
        Some(self.kernel.bell())
    }

    async fn reconcile(&mut self, store: &Store) -> Result<Action, ControllerError> {
        let observed = self.observe().await?;
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
        let mut changes = plan(&desired, &observed);
        changes.extend(self.ask_anew(&observed));
        if !changes.is_empty() {
            let failures = self.carry_out(&changes, &observed).await;
            let observed = self.observe().await?;
            self.publish(store, &observed)?;
            if !failures.is_empty() {
                let lines: Vec<_> = failures.iter().map(|error| chain(error)).collect();
                return Err(ControllerError::msg(lines.join("; ")));
            }
        }
        Ok(Action::After(self.next_look()))
    }
}

#[cfg(test)]
mod tests {
    use state::kinds::{Ipv6Status, LinkKind};
    use state::testkit::settle_one;

    use super::super::kernel::RecordingKernel;
    use super::*;

    fn eth0() -> LinkStatus {
        LinkStatus {
            index: 2,
            mac_address: None,
            mtu: 1500,
            max_mtu: None,
            refused_mtu: None,
            up: false,
            carrier: false,
            kind: LinkKind::Ethernet,
            ipv6: Some(Ipv6Status::default()),
        }
    }

    fn asked() -> Store {
        let store = Store::new();
        let address = AddressSpec {
            link: "eth0".into(),
            address: "10.0.0.2/24".parse().unwrap(),
        };
        store.put("t", "eth0", LinkSpec::default()).unwrap();
        store.put("t", "eth0/10.0.0.2/24", address).unwrap();
        store
    }

    #[tokio::test]
    async fn removed_addresses_are_added_again() {
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
    async fn obsolete_addresses_are_removed() {
        let kernel = RecordingKernel::with([("eth0", eth0())]);
        let (store, mut links) = (asked(), Links::new(kernel));
        settle_one(&store, &mut links).await.unwrap();
        store.remove::<AddressSpec>("t", "eth0/10.0.0.2/24").unwrap();
        settle_one(&store, &mut links).await.unwrap();
        assert_eq!(store.list::<AddressStatus>(), []);
    }

    #[tokio::test]
    async fn one_refusal_does_not_stop_the_rest_and_is_reported() {
        let kernel = RecordingKernel::with([("eth0", eth0())]);
        kernel.refuse(Change::SetUp { link: "eth0".into() });
        let (store, mut links) = (asked(), Links::new(kernel.clone()));
        let error = links.reconcile(&store).await.unwrap_err();
        assert_eq!(error.chain(), "cannot switch on eth0: refused");
        assert!(store.get::<AddressStatus>("eth0/10.0.0.2/24").is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn routers_are_solicited_when_accepted_and_after_each_new_carrier() {
        let kernel = RecordingKernel::with([("eth0", eth0())]);
        let (store, mut links) = (Store::new(), Links::new(kernel.clone()));
        let spec = LinkSpec {
            accepts_routers: true,
            ..LinkSpec::default()
        };
        store.put("t", "eth0", spec).unwrap();
        settle_one(&store, &mut links).await.unwrap();
        let link = || "eth0".to_owned();
        let accept = Change::AcceptRouters { link: link() };
        assert_eq!(
            kernel.take_changes(),
            [
                accept,
                Change::SetUp { link: link() },
                Change::AskRouters { link: link() }
            ],
            "first it is heard, so that the kernel asks by itself"
        );
        let carriers = [true, true, true, true, false, true, true, false, false];
        for (carrier, expected) in carriers.into_iter().zip([1, 1, 0, 0, 0, 1, 1, 0, 0]) {
            tokio::time::sleep(BETWEEN_QUESTIONS).await;
            kernel.edit(|now| now.links.get_mut("eth0").unwrap().carrier = carrier);
            settle_one(&store, &mut links).await.unwrap();
            assert_eq!(kernel.take_changes().len(), expected);
        }
    }

    #[tokio::test]
    async fn a_packet_size_that_a_driver_refuses_is_not_retried_forever() {
        let kernel = RecordingKernel::with([("eth0", eth0())]);
        let (link, mtu) = ("eth0".to_owned(), 9000);
        kernel.refuse(Change::SetMtu { link, mtu });
        let (store, mut links) = (Store::new(), Links::new(kernel.clone()));
        let want = |mtu| LinkSpec {
            mtu: Some(mtu),
            ..LinkSpec::default()
        };
        store.put("t", "eth0", want(9000)).unwrap();
        settle_one(&store, &mut links).await.unwrap();
        let status: LinkStatus = store.get("eth0").unwrap();
        assert_eq!(
            (status.mtu, status.refused_mtu, status.up),
            (1500, Some(9000), true)
        );
        kernel.take_changes();
        settle_one(&store, &mut links).await.unwrap();
        assert_eq!(kernel.take_changes(), [], "the answer is known");
        store.put("t", "eth0", want(1400)).unwrap();
        settle_one(&store, &mut links).await.unwrap();
        assert_eq!(store.get::<LinkStatus>("eth0").unwrap().mtu, 1400);
    }
}
