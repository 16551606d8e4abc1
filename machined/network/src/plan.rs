//! Plans the changes. Pure.

use std::collections::BTreeMap;
use std::fmt;

use state::kinds::{
    AddressSpec, AddressStatus, LinkSpec, LinkStatus, RouteSpec, RouteStatus, RouterAdvertisement,
};

/// A snapshot of the kernel's network.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observed {
    /// Interfaces by name.
    pub links: BTreeMap<String, LinkStatus>,
    /// Addresses of all interfaces.
    pub addresses: Vec<AddressStatus>,
    /// Routes of the main table.
    pub routes: Vec<RouteStatus>,
    /// What IPv6 routers named, by interface.
    pub advertised: BTreeMap<String, RouterAdvertisement>,
}

/// The desired state.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Desired {
    /// Interfaces by name: they should be up.
    pub links: BTreeMap<String, LinkSpec>,
    /// Addresses.
    pub addresses: Vec<AddressSpec>,
    /// Routes.
    pub routes: Vec<RouteSpec>,
}

/// A change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Switch an interface on.
    SetUp {
        /// The interface.
        link: String,
    },
    /// Set the largest packet.
    SetMtu {
        /// The interface.
        link: String,
        /// Bytes.
        mtu: u32,
    },
    /// Take the addresses and routes that IPv6 routers advertise on an interface.
    AcceptRouters {
        /// The interface.
        link: String,
    },
    /// Ask the IPv6 routers on an interface to advertise now.
    AskRouters {
        /// The interface.
        link: String,
    },
    /// Remove a route of ours.
    RemoveRoute(RouteStatus),
    /// Remove an address of ours.
    RemoveAddress(AddressStatus),
    /// Give an interface an address.
    AddAddress(AddressSpec),
    /// Add a route.
    AddRoute(RouteSpec),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let via = |via: &Option<std::net::IpAddr>| via.map_or(String::new(), |via| format!(" via {via}"));
        match self {
            Self::SetUp { link } => write!(f, "switch on {link}"),
            Self::SetMtu { link, mtu } => write!(f, "set the MTU of {link} to {mtu}"),
            Self::AcceptRouters { link } => write!(f, "accept router advertisements on {link}"),
            Self::AskRouters { link } => write!(f, "ask the IPv6 routers on {link}"),
            Self::AddAddress(spec) => write!(f, "add address {} to {}", spec.address, spec.link),
            Self::RemoveAddress(old) => write!(f, "remove address {} from {}", old.address, old.link),
            Self::AddRoute(r) => write!(
                f,
                "add route to {}{} on {}, metric {}",
                r.to,
                via(&r.via),
                r.link,
                r.metric
            ),
            Self::RemoveRoute(r) => write!(
                f,
                "remove route to {}{} on {}, metric {}",
                r.to,
                via(&r.via),
                r.link,
                r.metric
            ),
        }
    }
}

/// Lists the changes from the actual to the desired state, in an order in which they can be applied.
///
/// What is not ours is never removed. What belongs to a missing interface waits until it appears.
pub fn plan(desired: &Desired, observed: &Observed) -> Vec<Change> {
    let mut changes = Vec::new();
    for (link, spec) in &desired.links {
        let Some(status) = observed.links.get(link) else {
            continue;
        };
        // Before it is switched on: some drivers refuse a new size while they run.
        if let Some(mtu) = target_mtu(spec, status).filter(|mtu| *mtu != status.mtu) {
            changes.push(Change::SetMtu {
                link: link.clone(),
                mtu,
            });
        }
        // Before it is switched on, too: then the kernel asks the routers itself, once it has an address to ask from.
        if spec.accepts_routers && status.ipv6.is_some_and(|ipv6| !ipv6.accepts_routers) {
            changes.push(Change::AcceptRouters { link: link.clone() });
            if status.up {
                changes.push(Change::AskRouters { link: link.clone() });
            }
        }
        if !status.up {
            changes.push(Change::SetUp { link: link.clone() });
        }
    }
    // Routes first: the kernel drops those through an address with it, and would be asked in vain.
    let stale =
        |route: &&RouteStatus| route.ours && !desired.routes.iter().any(|wanted| same_route(wanted, route));
    changes.extend(
        observed
            .routes
            .iter()
            .filter(stale)
            .cloned()
            .map(Change::RemoveRoute),
    );
    let stale =
        |old: &&AddressStatus| old.ours && !desired.addresses.iter().any(|wanted| same_address(wanted, old));
    changes.extend(
        observed
            .addresses
            .iter()
            .filter(stale)
            .cloned()
            .map(Change::RemoveAddress),
    );
    let there = |link: &String| observed.links.contains_key(link);
    let missing = |wanted: &&AddressSpec| {
        there(&wanted.link) && !observed.addresses.iter().any(|found| same_address(wanted, found))
    };
    changes.extend(
        desired
            .addresses
            .iter()
            .filter(missing)
            .cloned()
            .map(Change::AddAddress),
    );
    // A route needs its interface up, which the changes above see to for those we were asked to look after.
    let usable = |link: &String| {
        observed
            .links
            .get(link)
            .is_some_and(|status| status.up || desired.links.contains_key(link))
    };
    let missing = |wanted: &&RouteSpec| {
        usable(&wanted.link) && !observed.routes.iter().any(|found| same_route(wanted, found))
    };
    changes.extend(
        desired
            .routes
            .iter()
            .filter(missing)
            .cloned()
            .map(Change::AddRoute),
    );
    changes
}

/// Returns the packet size to set: what is asked for, as far as the hardware goes; none after a refusal.
fn target_mtu(spec: &LinkSpec, status: &LinkStatus) -> Option<u32> {
    let asked = spec.mtu.filter(|mtu| status.refused_mtu != Some(*mtu))?;
    Some(status.max_mtu.map_or(asked, |most| asked.min(most)))
}

fn same_address(wanted: &AddressSpec, found: &AddressStatus) -> bool {
    wanted.link == found.link && wanted.address == found.address
}

fn same_route(wanted: &RouteSpec, found: &RouteStatus) -> bool {
    (&wanted.link, wanted.to, wanted.via, wanted.metric) == (&found.link, found.to, found.via, found.metric)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use state::kinds::LinkKind;

    use super::super::kernel::{Kernel, RecordingKernel};
    use super::*;

    fn link(up: bool) -> LinkStatus {
        LinkStatus {
            index: 2,
            mac_address: None,
            mtu: 1500,
            max_mtu: None,
            refused_mtu: None,
            up,
            carrier: up,
            kind: LinkKind::Ethernet,
            ipv6: None,
        }
    }

    fn address(link: &str, text: &str) -> AddressSpec {
        AddressSpec {
            link: link.into(),
            address: text.parse().unwrap(),
        }
    }

    fn route(link: &str, to: &str, via: &str) -> RouteSpec {
        let via = via.parse().ok();
        RouteSpec {
            link: link.into(),
            to: to.parse().unwrap(),
            via,
            on_link: false,
            metric: 1024,
        }
    }

    fn shown(changes: &[Change]) -> Vec<String> {
        changes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn everything_is_done_in_order() {
        let desired = Desired {
            links: BTreeMap::from([(
                "eth0".into(),
                LinkSpec {
                    mtu: Some(9000),
                    ..LinkSpec::default()
                },
            )]),
            addresses: vec![address("eth0", "10.0.0.2/24")],
            routes: vec![route("eth0", "0.0.0.0/0", "10.0.0.1")],
        };
        let mut observed = Observed::default();
        assert_eq!(plan(&desired, &observed), [], "what is not there has to wait");
        observed.links.insert("eth0".into(), link(false));
        let old = AddressStatus {
            link: "eth0".into(),
            address: "10.0.0.9/24".parse().unwrap(),
            ours: true,
        };
        let foreign = AddressStatus {
            address: "10.0.0.8/24".parse().unwrap(),
            ours: false,
            ..old.clone()
        };
        observed.addresses = vec![old, foreign];
        let via = "10.0.0.254".parse().ok();
        let to = "0.0.0.0/0".parse().unwrap();
        observed.routes = vec![RouteStatus {
            link: "eth0".into(),
            to,
            via,
            metric: 1024,
            ours: true,
        }];
        assert_eq!(
            shown(&plan(&desired, &observed)),
            [
                "set the MTU of eth0 to 9000",
                "switch on eth0",
                "remove route to 0.0.0.0/0 via 10.0.0.254 on eth0, metric 1024",
                "remove address 10.0.0.9/24 from eth0",
                "add address 10.0.0.2/24 to eth0",
                "add route to 0.0.0.0/0 via 10.0.0.1 on eth0, metric 1024",
            ]
        );
    }

    fn some_desired() -> impl Strategy<Value = Desired> {
        let name = || prop_oneof![Just("a"), Just("b"), Just("gone")];
        let links = proptest::collection::btree_map(
            name().prop_map(String::from),
            proptest::option::of(1280..1300_u32),
            0..3,
        );
        let addresses = proptest::collection::btree_set((name(), 1..9_u8), 0..4);
        let routes = proptest::collection::btree_set((name(), 1..9_u8), 0..4);
        (links, addresses, routes).prop_map(|(links, addresses, routes)| Desired {
            links: links
                .into_iter()
                .map(|(name, mtu)| {
                    (
                        name,
                        LinkSpec {
                            mtu,
                            accepts_routers: true,
                        },
                    )
                })
                .collect(),
            addresses: addresses
                .iter()
                .map(|(l, n)| address(l, &format!("10.0.0.{n}/24")))
                .collect(),
            routes: routes
                .iter()
                .map(|(l, n)| route(l, &format!("10.{n}.0.0/16"), "10.0.0.1"))
                .collect(),
        })
    }

    proptest! {
        #[test]
        fn one_round_is_enough_from_any_state(first in some_desired(), second in some_desired()) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let kernel = RecordingKernel::with([("a", link(false)), ("b", link(true))]);
            let foreign = AddressStatus { link: "a".into(), address: "192.0.2.1/24".parse().unwrap(), ours: false };
            kernel.edit(|now| now.addresses.push(foreign.clone()));
            for desired in [&first, &second] {
                runtime.block_on(async {
                    for change in plan(desired, &kernel.observe().await.unwrap()) {
                        kernel.apply(&change).await.unwrap();
                    }
                    let now = kernel.observe().await.unwrap();
                    assert_eq!(plan(desired, &now), []);
                    assert!(now.addresses.contains(&foreign), "what is not ours stays");
                });
            }
        }
    }
}
