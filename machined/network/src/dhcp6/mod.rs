//! Requests addresses and settings by DHCPv6 if IPv6 routers announce them.
//!
//! The flags of router advertisements decide: "managed" means address and settings, "other" settings alone.
//! `client` is the talk, `message` its bytes and what of an answer is used.

mod client;
pub(super) mod message;

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use async_trait::async_trait;
use client::{Client, Udp};
use machine_config::value::MacAddress;
use state::kinds::{AddressStatus, Dhcp6Lease, LinkSpec, LinkStatus};
use state::{Action, Controller, ControllerError, Resource, Store, chain, tasks};
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

use super::leases::{Leases, Reporter};

/// Why an interface carries no messages.
#[derive(Debug, thiserror::Error)]
#[error("cannot talk to DHCPv6 servers on {link}")]
pub struct Dhcp6Error {
    link: String,
    #[source]
    source: std::io::Error,
}

/// An interface, and what it requests.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Asker {
    name: String,
    index: u32,
    mac_address: MacAddress,
    /// Its link-local address.
    own: Ipv6Addr,
    /// Set when it also requests an address.
    managed: bool,
}

/// Keeps the DHCPv6 lease of each interface whose routers announce it. Sole owner of `Dhcp6Lease`.
pub struct Dhcp6 {
    tasks: HashMap<String, (Asker, AbortOnDropHandle<()>)>,
    leases: Leases<Dhcp6Lease>,
}

impl Default for Dhcp6 {
    fn default() -> Self {
        Self::new()
    }
}

impl Dhcp6 {
    /// Makes the controller.
    pub fn new() -> Self {
        Dhcp6 {
            tasks: HashMap::new(),
            leases: Leases::new(),
        }
    }
}

fn start(asker: Asker, reporter: Reporter<Dhcp6Lease>) -> AbortOnDropHandle<()> {
    tasks::keep(format!("DHCPv6 on {}", asker.name), move || {
        let (asker, reporter) = (asker.clone(), reporter.clone());
        async move {
            // Seeded by the kernel's random numbers, so that the next transaction ID is unpredictable.
            let xid = RandomState::new().build_hasher().finish() as u32;
            let talk = async {
                Client::new(Udp::open(&asker).await?, asker, reporter, xid)
                    .run()
                    .await
            };
            talk.await.map_err(|error: Dhcp6Error| chain(&error))
        }
    })
}

/// Decides who asks: an interface that listens to routers, whose router says that there is something. Pure.
fn askers(
    specs: &BTreeMap<String, LinkSpec>,
    links: &BTreeMap<String, LinkStatus>,
    addresses: &[AddressStatus],
) -> BTreeMap<String, Asker> {
    let asker = |(name, _): (&String, &LinkSpec)| {
        let link = links.get(name).filter(|link| link.up && link.carrier)?;
        let ipv6 = link.ipv6.filter(|ipv6| ipv6.managed || ipv6.other_config)?;
        let own = addresses.iter().find_map(|status| match status.address.address {
            IpAddr::V6(own) if status.link == *name && own.is_unicast_link_local() => Some(own),
            _ => None,
        })?;
        let asker = Asker {
            name: name.clone(),
            index: link.index,
            mac_address: link.mac_address?,
            own,
            managed: ipv6.managed,
        };
        Some((name.clone(), asker))
    };
    let listens = specs.iter().filter(|(_, spec)| spec.accepts_routers);
    listens.filter_map(asker).collect()
}

#[async_trait]
impl Controller for Dhcp6 {
    fn name(&self) -> &'static str {
        "network-dhcp6"
    }

    fn inputs(&self) -> &'static [&'static str] {
        &[LinkSpec::KIND, LinkStatus::KIND, AddressStatus::KIND]
    }

    fn outputs(&self) -> &'static [&'static str] {
        &[Dhcp6Lease::KIND]
    }

    fn wake(&self) -> Option<Arc<Notify>> {
        Some(self.leases.bell())
    }

    async fn reconcile(&mut self, store: &Store) -> Result<Action, ControllerError> {
        let specs = BTreeMap::from_iter(store.list::<LinkSpec>());
        let links = BTreeMap::from_iter(store.list::<LinkStatus>());
        let addresses: Vec<AddressStatus> = store.list().into_iter().map(|(_, status)| status).collect();
        let askers = askers(&specs, &links, &addresses);
        self.tasks
            .retain(|name, (asker, _)| askers.get(name) == Some(asker));
        for (name, asker) in askers {
            if !self.tasks.contains_key(&name) {
                let task = start(asker.clone(), self.leases.reporter(&name));
                self.tasks.insert(name, (asker, task));
            }
        }
        // Like a lease of IPv4, it outlives its cable.
        let (leases, next) = self
            .leases
            .valid(|link| specs.get(link).is_some_and(|spec| spec.accepts_routers));
        store.replace(self.name(), leases)?;
        Ok(next.map_or(Action::WaitForChange, Action::After))
    }
}
