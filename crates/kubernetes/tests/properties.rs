//! Whatever is asked for: no flag reaches a version that lacks it.

use std::collections::BTreeMap;

use control_plane_testkit::sample;
use kubernetes::control_plane::{Member, Membership};
use kubernetes::node::{Effect, Taint};
use kubernetes::release::{Cgroups, ProxyMode};
use kubernetes::tuning::Tuning;
use kubernetes::{Cluster, ControlPlane, EtcdRelease, Kind, Node, Release, plan};
use machine_config::value::ClusterNetworks;
use proptest::prelude::*;

/// Flags that people find in old guides, and others.
const FLAGS: [&str; 16] = [
    "v",
    "profiling",
    "container-runtime",
    "network-plugin",
    "cni-bin-dir",
    "insecure-port",
    "logtostderr",
    "log-dir",
    "log-file",
    "alsologtostderr",
    "event-ttl",
    "enable-admission-plugins",
    "feature-gates",
    "secure-port",
    "tracing-config-file",
    "no-such-flag",
];

/// What upstream removed before 1.34, from every component.
const REMOVED: [&str; 13] = [
    "container-runtime",
    "network-plugin",
    "cni-bin-dir",
    "cni-conf-dir",
    "insecure-port",
    "logtostderr",
    "log-dir",
    "log-file",
    "log-file-max-size",
    "alsologtostderr",
    "one-output",
    "skip-headers",
    "stderrthreshold",
];

fn networks() -> impl Strategy<Value = (Vec<&'static str>, Vec<&'static str>)> {
    prop_oneof![
        Just((vec![], vec![])),
        Just((vec!["10.1.0.0/16"], vec!["10.2.0.0/20"])),
        Just((vec!["fd01::/56"], vec!["fd02::/112"])),
        Just((
            vec!["10.1.0.0/16", "fd01::/48"],
            vec!["10.2.0.0/16", "fd02::/108"]
        )),
        Just((
            vec!["fd01::/48", "10.1.0.0/16"],
            vec!["fd02::/108", "10.2.0.0/16"]
        )),
    ]
}

fn extra() -> impl Strategy<Value = BTreeMap<Kind, BTreeMap<String, String>>> {
    let flag = (
        0..Kind::ALL.len(),
        prop::sample::select(&FLAGS[..]),
        "[ -~]{0,12}",
    );
    prop::collection::vec(flag, 0..4).prop_map(|flags| {
        let mut extra: BTreeMap<Kind, BTreeMap<String, String>> = BTreeMap::new();
        for (kind, flag, value) in flags {
            extra
                .entry(Kind::ALL[kind])
                .or_default()
                .insert(flag.to_owned(), value);
        }
        extra
    })
}

proptest! {
    #[test]
    fn no_flag_reaches_a_version_that_lacks_it(
        (pods, services) in networks(),
        name in "[a-z][a-z0-9-]{0,20}[a-z0-9]",
        extra in extra(),
        gates in prop::collection::btree_map("[A-Z][A-Za-z]{1,8}", any::<bool>(), 0..3),
        labels in prop::collection::btree_map("[a-z]{1,8}", "[a-z]{0,8}", 0..3),
        taints in prop::collection::vec("[a-z]{1,8}", 0..3),
        in_container: bool,
        cgroups in prop_oneof![Just(Cgroups::V1), Just(Cgroups::V2)],
        joins: bool,
        control_plane: bool,
        flush in 0u64..2000,
        mode in prop::option::of(prop_oneof![Just(ProxyMode::Nftables), Just(ProxyMode::Iptables)]),
    ) {
        let parsed = |texts: Vec<&str>| texts.into_iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>();
        let (pods, services) = (parsed(pods), parsed(services));
        let endpoint = "https://[fd00::9]:6443".parse().unwrap();
        let networks = ClusterNetworks::new(&pods, &services).unwrap();
        let cluster = Cluster::new("home".parse().unwrap(), endpoint, None, networks);
        let addresses = ["192.168.1.7".parse().unwrap(), "fd00::7".parse().unwrap()];
        let mut node = Node::new(&cluster, name.parse().unwrap(), &addresses).unwrap();
        node.extra = extra;
        node.feature_gates = gates;
        node.labels = labels;
        node.in_container = in_container;
        node.cgroups = cgroups;
        node.proxy_mode = mode;
        let taint = |key| Taint { key, value: String::new(), effect: Effect::NoSchedule };
        node.taints = taints.into_iter().map(taint).collect();
        let others = vec![Member { name: "other".parse().unwrap(), address: node.address() }];
        for etcd in EtcdRelease::known() {
            for release in Release::known() {
                let plane = ControlPlane {
                    etcd,
                    membership: if joins { Membership::Joins(others.clone()) } else { Membership::First },
                    tuning: Tuning::for_disk(std::time::Duration::from_millis(flush)),
                    ..sample::plane("3.5")
                };
                let Ok(components) = plan(release, &cluster, &node, control_plane.then_some(&plane)) else {
                    continue;
                };
                for component in components {
                    for argument in &component.arguments {
                        let flag = argument.strip_prefix("--").and_then(|rest| rest.split_once('=')).map(|(flag, _)| flag);
                        let flag = flag.expect("every argument is --FLAG=VALUE");
                        let known = match component.kind {
                            Kind::Etcd => etcd.has_flag(flag),
                            kind => release.has_flag(kind, flag),
                        };
                        prop_assert!(known, "{} {} has no --{flag}", component.kind, release.series());
                        let gone = release.series().minor >= 34 && REMOVED.contains(&flag);
                        prop_assert!(!gone, "{} {} no longer has --{flag}", component.kind, release.series());
                    }
                }
            }
        }
    }
}

#[test]
fn what_upstream_removed_is_refused_and_what_it_has_is_taken() {
    let cluster = sample::cluster("https://k8s.home.example:6443");
    let outcome = |version: &str, kind, flag: &str| {
        let mut node = sample::node(&cluster, "node1", "192.168.1.7");
        node.extra
            .insert(kind, BTreeMap::from([(flag.to_owned(), "1".to_owned())]));
        let release = Release::of(version.parse().unwrap()).unwrap();
        plan(release, &cluster, &node, Some(&sample::plane("3.5")))
            .map(drop)
            .map_err(|error| error.to_string())
    };
    for version in ["1.34", "1.35", "1.36"] {
        for flag in REMOVED {
            for kind in Kind::ALL {
                let error = outcome(version, kind, flag).unwrap_err();
                assert!(error.contains(&format!("has no flag --{flag}")), "{error}");
            }
        }
        assert_eq!(outcome(version, Kind::ApiServer, "v"), Ok(()));
    }
    assert_eq!(outcome("1.20", Kind::Kubelet, "log-dir"), Ok(()));
}
