//! Merges what the parts of the node ask of the network.
//!
//! | what | rule |
//! |---|---|
//! | an interface | is managed when one contribution asks for it |
//! | a setting of an interface | the first contribution that has one wins |
//! | addresses | all of them, each once |
//! | routes | all of them; of two to the same network with the same metric the first one wins, unless both are of one contribution |
//!
//! First are those of the higher [`Precedence`](state::kinds::Precedence), then those whose name is first in the alphabet. Addresses and
//! routes of an interface that nobody manages wait until somebody does.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use machine_config::value::IpPrefix;
use state::kinds::{AddressSpec, LinkSettings, LinkSpec, NetworkContribution, RouteSpec};

use super::plan::Desired;

/// Merges contributions, each with its name. Pure.
pub(super) fn merge(contributions: &[(String, NetworkContribution)]) -> Desired {
    let mut ordered: Vec<&(String, NetworkContribution)> = contributions.iter().collect();
    ordered.sort_by_key(|(name, contribution)| (contribution.precedence, name));
    let ordered: Vec<&NetworkContribution> = ordered
        .into_iter()
        .map(|(_, contribution)| contribution)
        .collect();
    let links = links(&ordered);
    let addresses = addresses(&ordered, &links);
    let routes = routes(&ordered, &links, &addresses);
    Desired {
        links,
        addresses,
        routes,
    }
}

fn links(ordered: &[&NetworkContribution]) -> BTreeMap<String, LinkSpec> {
    let mut merged: BTreeMap<&String, LinkSettings> = BTreeMap::new();
    for (name, settings) in ordered.iter().flat_map(|contribution| &contribution.links) {
        let link = merged.entry(name).or_default();
        link.managed |= settings.managed;
        link.mtu = link.mtu.or(settings.mtu);
        link.accepts_routers = link.accepts_routers.or(settings.accepts_routers);
    }
    let managed = merged.into_iter().filter(|(_, link)| link.managed);
    let spec = |(name, link): (&String, LinkSettings)| {
        let spec = LinkSpec {
            mtu: link.mtu,
            accepts_routers: link.accepts_routers.unwrap_or_default(),
        };
        (name.clone(), spec)
    };
    managed.map(spec).collect()
}

fn addresses(ordered: &[&NetworkContribution], links: &BTreeMap<String, LinkSpec>) -> Vec<AddressSpec> {
    let mut merged = Vec::new();
    let asked = ordered.iter().flat_map(|contribution| &contribution.addresses);
    for asked in asked.filter(|asked| links.contains_key(&asked.link)) {
        let address = AddressSpec {
            link: asked.link.clone(),
            address: asked.address,
        };
        if !merged.contains(&address) {
            merged.push(address);
        }
    }
    merged
}

fn routes(
    ordered: &[&NetworkContribution],
    links: &BTreeMap<String, LinkSpec>,
    addresses: &[AddressSpec],
) -> Vec<RouteSpec> {
    let mut merged: Vec<RouteSpec> = Vec::new();
    let mut taken: BTreeSet<(IpPrefix, u32)> = BTreeSet::new();
    for contribution in ordered {
        let asked = contribution.routes.iter();
        let own: Vec<_> = asked
            .filter(|route| links.contains_key(&route.link) && !taken.contains(&(route.to, route.metric)))
            .collect();
        for asked in own {
            let on_this = addresses.iter().filter(|address| address.link == asked.link);
            let route = RouteSpec {
                link: asked.link.clone(),
                to: asked.to,
                via: asked.via,
                on_link: asked.via.is_some_and(|via| !reached(via, on_this)),
                metric: asked.metric,
            };
            if !merged.contains(&route) {
                merged.push(route);
            }
            taken.insert((asked.to, asked.metric));
        }
    }
    merged
}

/// Returns true if a router is in the network of one of the interface's addresses.
fn reached<'a>(via: IpAddr, mut addresses: impl Iterator<Item = &'a AddressSpec>) -> bool {
    let link_local = matches!(via, IpAddr::V6(v6) if v6.is_unicast_link_local());
    link_local || addresses.any(|address| address.address.contains(via))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use state::kinds::{ContributedAddress, ContributedRoute, Precedence};

    use super::*;

    fn contribution(precedence: Precedence, mtu: Option<u32>, via: &str, metric: u32) -> NetworkContribution {
        let mut contribution = NetworkContribution::new(precedence);
        let settings = LinkSettings {
            managed: precedence == Precedence::Config,
            mtu,
            accepts_routers: None,
        };
        contribution.links.insert("eth0".into(), settings);
        contribution.routes.push(ContributedRoute {
            link: "eth0".into(),
            to: "0.0.0.0/0".parse().unwrap(),
            via: via.parse().ok(),
            metric,
        });
        contribution
    }

    fn named(all: &[NetworkContribution]) -> Vec<(String, NetworkContribution)> {
        let names = ["c", "b", "a"].map(str::to_owned);
        names.into_iter().zip(all.iter().cloned()).collect()
    }

    #[test]
    fn the_config_wins_over_the_node_and_the_node_over_a_server() {
        let all = named(&[
            contribution(Precedence::Config, None, "10.0.0.1", 1),
            contribution(Precedence::Node, Some(1400), "10.0.0.2", 1),
            contribution(Precedence::Lease, Some(1300), "10.0.0.3", 1),
        ]);
        let merged = merge(&all);
        assert_eq!(merged.links["eth0"].mtu, Some(1400));
        let routers = merged.routes.iter().map(|route| route.via.unwrap().to_string());
        assert_eq!(routers.collect::<Vec<_>>(), ["10.0.0.1"]);
    }

    #[test]
    fn routes_with_metrics_of_their_own_are_no_contradiction() {
        let all = named(&[
            contribution(Precedence::Config, None, "10.0.0.1", 1),
            contribution(Precedence::Lease, None, "10.0.0.3", 2),
        ]);
        assert_eq!(merge(&all).routes.len(), 2);
    }

    #[test]
    fn what_one_part_asks_for_twice_is_the_kernels_to_refuse() {
        let mut twice = contribution(Precedence::Config, None, "10.0.0.1", 1);
        twice
            .routes
            .extend(contribution(Precedence::Config, None, "10.0.0.2", 1).routes);
        assert_eq!(merge(&named(&[twice])).routes.len(), 2);
    }

    #[test]
    fn what_is_asked_of_an_interface_that_nobody_manages_waits() {
        let lease = contribution(Precedence::Lease, Some(1300), "10.0.0.3", 2);
        assert_eq!(merge(&named(&[lease])), Desired::default());
    }

    #[test]
    fn a_router_in_the_network_of_anybodys_address_needs_no_on_link() {
        let config = contribution(Precedence::Config, None, "10.0.0.1", 1);
        let mut virtual_address = NetworkContribution::new(Precedence::Node);
        virtual_address.addresses.push(ContributedAddress {
            link: "eth0".into(),
            address: "10.0.0.9/24".parse().unwrap(),
        });
        let on_link = |all: &[NetworkContribution]| merge(&named(all)).routes[0].on_link;
        assert!(on_link(std::slice::from_ref(&config)));
        assert!(!on_link(&[config, virtual_address]));
    }

    fn any_contribution() -> impl Strategy<Value = NetworkContribution> {
        let precedence = prop_oneof![
            Just(Precedence::Config),
            Just(Precedence::Node),
            Just(Precedence::Lease)
        ];
        let via = prop_oneof![Just("10.0.0.1"), Just("10.0.0.2")];
        (precedence, proptest::option::of(1280_u32..1500), via, 0_u32..3)
            .prop_map(|(precedence, mtu, via, metric)| contribution(precedence, mtu, via, metric))
    }

    proptest! {
        #[test]
        fn the_order_in_which_parts_speak_up_makes_no_difference(all in proptest::collection::vec(any_contribution(), 0..3)) {
            let mut named = named(&all);
            let merged = merge(&named);
            named.reverse();
            prop_assert_eq!(merge(&named), merged);
        }
    }
}
