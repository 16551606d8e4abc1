//! What is written can be read back unchanged.

mod workloads;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use self::workloads::workloads;
use super::{GOLDEN, SMALLEST};
use crate::secret::REDACTED;
use crate::v1alpha1::*;
use crate::value::{Document, IpPrefix, LabelKey, LabelValue, MacAddress, Period};
use crate::{MachineConfig, Secret, parse, parse_over};

#[test]
fn the_golden_file_round_trips() {
    let config = parse(GOLDEN).unwrap();
    assert_eq!(parse(&config.to_yaml_with_secrets()), Ok(config));
}

#[test]
fn secrets_are_shown_only_on_request() {
    let config = parse(GOLDEN).unwrap();
    let shown = format!(
        "{}{config:?}{}",
        config.to_yaml(),
        serde_json::to_string(&config).unwrap()
    );
    assert!(
        shown.contains(REDACTED)
            && !shown.contains("MC4CAQ")
            && !shown.contains("MIGHAgEAMBM")
            && !shown.contains("ExampleE=")
            && !shown.contains("8e1d"),
        "{shown}"
    );
    let stored = config.to_yaml_with_secrets();
    assert!(
        stored.contains("ExampleE=") && stored.contains("MIGHAgEAMBM"),
        "{stored}"
    );
    assert!(stored.contains("MC4CAQ") && stored.contains("8e1d"), "{stored}");
    assert!(
        !config.to_yaml().contains("MC4CAQ"),
        "the request does not outlast the call"
    );
}

#[test]
fn a_redacted_config_is_applied_over_its_original() {
    let config = parse(GOLDEN).unwrap();
    let edited = config.to_yaml().replace("node1", "node2");
    assert!(parse(&edited).is_err());
    let applied = parse_over(&edited, &config).unwrap();
    assert_eq!(applied.machine.ca.key, config.machine.ca.key);
    assert_eq!(applied.cluster.secrets, config.cluster.secrets);
    assert_eq!(applied.cluster.ca, config.cluster.ca);
    assert_eq!(applied.machine.hostname.unwrap().as_str(), "node2");
    assert!(
        parse_over(&edited, &parse(SMALLEST).unwrap())
            .unwrap_err()
            .to_string()
            .contains("machine.token")
    );
}

#[test]
fn json_is_read_back_redacted() {
    let config = parse(GOLDEN).unwrap();
    let back: MachineConfig = serde_json::from_str(&serde_json::to_string(&config).unwrap()).unwrap();
    assert!(back.machine.token.as_ref().is_some_and(Secret::is_redacted));
    assert_eq!(back.to_yaml(), config.to_yaml());
}

fn pem(label: &'static str) -> impl Strategy<Value = String> {
    "[A-Za-z0-9+/]{4,64}"
        .prop_map(move |body| format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n"))
}

fn host_name() -> impl Strategy<Value = String> {
    // Words that YAML may take for something other than text are the point of this test.
    prop_oneof![
        "[a-z][a-z0-9-]{0,20}[a-z0-9]",
        Just("true".into()),
        Just("1e5".into()),
        Just("null".into()),
        Just("0x10".into())
    ]
}

fn host_address() -> impl Strategy<Value = IpPrefix> {
    prop_oneof![
        (1_u32..0x7f00_0000, 31_u8..=32)
            .prop_map(|(bits, length)| (IpAddr::V4(Ipv4Addr::from_bits(bits)), length)),
        (1_u128 << 125..1 << 126, 0_u8..=128)
            .prop_map(|(bits, length)| (IpAddr::V6(Ipv6Addr::from_bits(bits)), length)),
    ]
    .prop_map(|(address, length)| IpPrefix { address, length })
}

fn route() -> impl Strategy<Value = Route> {
    (host_address(), any::<bool>(), proptest::option::of(any::<u32>())).prop_map(|(to, via, metric)| Route {
        to: to.network(),
        via: via.then_some(to.address),
        metric,
    })
}

fn interface() -> impl Strategy<Value = Interface> {
    let selector = prop_oneof![
        "[a-z]{2,6}[0-9]{1,8}".prop_map(Ok),
        any::<[u8; 6]>().prop_map(Err)
    ];
    let mtu = proptest::option::of(1280_u32..65_535);
    (
        selector,
        any::<bool>(),
        host_address(),
        mtu,
        proptest::collection::vec(route(), 0..3),
    )
        .prop_map(|(selector, dhcp, address, mtu, routes)| Interface {
            name: selector.as_ref().ok().map(|name| name.parse().unwrap()),
            mac_address: selector.err().map(MacAddress),
            dhcp,
            addresses: vec![address],
            mtu,
            routes,
        })
}

prop_compose! {
    fn upgrades()(
        days in proptest::sample::subsequence(Day::ALL.to_vec(), 0..=7),
        hours in 0..24, minutes in 0..60,
        duration in 60_u32..=86_400,
        window: bool,
        proxy in proptest::option::of("http://[a-z]{1,9}(:[1-9][0-9]{0,3})?"),
        ca in proptest::option::of(pem("CERTIFICATE")),
        rate in proptest::option::of("[1-9][0-9]{0,5}[kM]"),
        rollout in proptest::option::of(("https?://[a-z]{1,9}/[a-z?=&.]{1,20}", 60_u32..=86_400)),
    ) -> Upgrades {
        let open = Window {
            days: days.into_iter().map(|(_, day)| day).collect(),
            start: format!("{hours:02}:{minutes:02}").parse().unwrap(),
            duration: Period::seconds(duration),
        };
        Upgrades {
            window: window.then_some(open),
            proxy: proxy.map(|proxy| proxy.parse().unwrap()),
            ca: ca.map(|ca| ca.parse().unwrap()),
            rate_limit: rate.map(|rate| rate.parse().unwrap()),
            rollout: rollout.map(|(url, seconds)| RolloutFeed {
                url: url.parse().unwrap(),
                interval: Period::seconds(seconds),
            }),
        }
    }
}

fn labels() -> impl Strategy<Value = BTreeMap<LabelKey, LabelValue>> {
    let value = prop_oneof![
        "[0-9]{1,4}",
        "[a-z]{0,4}",
        Just("true".into()),
        Just("1e5".into())
    ];
    let key = "[a-z]{1,9}".prop_map(|key| key.parse().unwrap());
    let value = value.prop_map(|value| value.parse().unwrap());
    proptest::collection::btree_map(key, value, 0..3)
}

fn extra_args() -> impl Strategy<Value = ExtraArgs> {
    let flag = "[a-z][a-z0-9-]{0,9}".prop_map(|flag| flag.parse().unwrap());
    // Words and numbers of YAML, and what has a meaning in it.
    let value = prop_oneof![
        "[ -~]{0,20}",
        "[0-9]{1,9}",
        Just("false".into()),
        Just("~".into())
    ];
    proptest::collection::btree_map(flag, value, 0..3)
}

/// Any map, three levels deep.
fn document() -> impl Strategy<Value = Document> {
    use serde_json::Value as Json;
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        "[ -~\u{e4}]{0,12}".prop_map(Json::from),
    ];
    let tree = leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            proptest::collection::btree_map("[ -~]{1,8}", inner, 0..4)
                .prop_map(|map| Json::Object(map.into_iter().collect())),
        ]
    });
    proptest::collection::btree_map("[a-zA-Z]{1,8}", tree, 0..4)
        .prop_map(|map| Document(map.into_iter().collect()))
}

fn manifests() -> impl Strategy<Value = Vec<Manifest>> {
    let contents = "[ -~\n]{0,30}[a-z]\n?";
    let one = ("[a-z]{1,9}", proptest::option::of(contents)).prop_map(|(name, contents)| Manifest {
        name: name.parse().unwrap(),
        file: contents.is_none().then(|| "/usr/share/a.yaml".parse().unwrap()),
        contents,
    });
    proptest::collection::vec(one, 0..3).prop_map(|mut list| {
        list.sort_by_key(|manifest| manifest.name.to_string());
        list.dedup_by_key(|manifest| manifest.name.to_string());
        list
    })
}

prop_compose! {
    fn config()(
        role in prop_oneof![Just(Role::ControlPlane), Just(Role::Standalone)],
        name in proptest::option::of(host_name()),
        cert in pem("CERTIFICATE"),
        key in pem("PRIVATE KEY"),
        token in "[!-~]{16,40}",
        interface in proptest::option::of(interface()),
        nameservers in proptest::collection::vec(any::<IpAddr>(), 0..3),
        servers in proptest::collection::vec(host_name(), 0..3),
        enabled in any::<bool>(),
        value in "[ -~\u{e4}]{0,20}",
        commit_after in 0_u32..599,
        upgrades in upgrades(),
        labels in labels(),
        extra_args in extra_args(),
        document in document(),
        manifests in manifests(),
        workloads in workloads(),
    ) -> MachineConfig {
        let servers_listed = servers.is_empty();
        let token = Some(Secret::new(token)).filter(|token| !token.is_redacted());
        let machine = Machine {
            role,
            hostname: name.map(|name| name.parse().unwrap()),
            ca: CertificateAuthority { cert: cert.parse().unwrap(), key: Some(Secret::new(key)) },
            token,
            cert_sans: servers.iter().map(|name| name.parse().unwrap()).collect(),
            network: Network {
                interfaces: interface.into_iter().collect(),
                nameservers,
                workload_subnet: enabled.then(|| "172.30.0.0/20".parse().unwrap()),
            },
            time: Time { enabled, servers: servers.iter().map(|name| name.parse().unwrap()).collect() },
            sysctls: BTreeMap::from([("kernel.core_pattern".parse().unwrap(), SysctlValue(value))]),
            modules: vec!["true".parse().unwrap()],
            health: Health { commit_after: Period::seconds(commit_after), ..Health::default() },
            upgrades,
            firmware: Firmware {
                config: ["true", "[pi4]", "# a: note", "dtparam=spi=on"].map(|line| line.parse().unwrap()).to_vec(),
                upgrade: if enabled { FirmwareUpgrade::Automatic } else { FirmwareUpgrade::Manual },
            },
            services: BTreeMap::from([("no".parse().unwrap(), Service { enabled })]),
            node_labels: labels,
            node_taints: BTreeMap::from([("null".parse().unwrap(), "true:NoExecute".parse().unwrap())]),
            kubelet: Kubelet { extra_args: extra_args.clone(), extra_config: Some(document.clone()) },
            registries: Vec::new(),
        };
        let in_cluster = role == Role::ControlPlane && enabled;
        let authority = || machine.ca.clone();
        let cluster = Cluster {
            name: "y".parse().ok(),
            id: "1".parse().ok(),
            endpoint: "https://[::1]:6443".parse().ok(),
            ca: in_cluster.then(authority),
            secrets: in_cluster.then(|| ClusterSecrets {
                etcd_ca: authority(),
                front_proxy_ca: authority(),
                service_account_key: authority().key.unwrap(),
                encryption_key: Secret::new(format!("{}=", "A".repeat(43))),
            }),
            network: ClusterNetwork {
                dns_domain: enabled.then(|| "true.null".parse().unwrap()),
                cni: if enabled { Cni::None } else { Cni::Bridge },
                mesh: if enabled { Mesh::None } else { Mesh::Wireguard },
                proxy: if enabled { Proxy::None } else { Proxy::Nftables },
                ..ClusterNetwork::default()
            },
            discovery: ClusterDiscovery { mdns: !enabled },
            subnets: Vec::new(),
            virtual_ip: enabled.then(|| "2001:db8::9".parse().unwrap()),
            api_server: ApiServer {
                cert_sans: Vec::new(),
                extra_args: extra_args.clone(),
                admission_control: vec![AdmissionPlugin {
                    name: "True".parse().unwrap(),
                    configuration: enabled.then(|| document.clone()),
                }],
                audit_policy: None,
            },
            controller_manager: ComponentSettings { extra_args: extra_args.clone() },
            scheduler: ComponentSettings::default(),
            etcd: Etcd { extra_args, snapshots: EtcdSnapshots { interval: Period::seconds(if enabled { 600 } else { 43_200 }), keep: if servers_listed { 0 } else { 5 } } },
            feature_gates: BTreeMap::from([("NaN".parse().unwrap(), enabled)]),
            allow_scheduling_on_control_planes: (!servers_listed).then_some(enabled),
            manifests,
        };
        MachineConfig { api_version: ApiVersion::V1Alpha1, kind: Kind::MachineConfig, machine, cluster, workloads }
    }
}

proptest! {
    #[test]
    fn any_config_round_trips(config in config()) {
        let yaml = config.to_yaml_with_secrets();
        let read = parse(&yaml).map_err(|faults| TestCaseError::fail(format!("{faults}\n{yaml}")))?;
        prop_assert_eq!(read, config);
    }

    #[test]
    fn no_text_panics(text in any::<String>()) {
        let _ = parse(&text);
    }

    #[test]
    fn no_text_of_yaml_signs_panics(text in "([\\[\\]{}:,#&*!|>'\"%@`?\n -]|[a-c0-9]|- |: |\n  |\t){0,80}") {
        let _ = parse(&text);
    }

    #[test]
    fn no_damaged_config_panics(at in 0..GOLDEN.len(), sign in "[\\[\\]{}:,&*!|>'\"%?\n\t ~-]|[0-9]", remove in 0..4_usize) {
        let mut text = GOLDEN.to_owned();
        text.replace_range(at..(at + remove).min(text.len()), &sign);
        if let Ok(config) = parse(&text) {
            prop_assert_eq!(parse(&config.to_yaml_with_secrets()), Ok(config));
        }
    }

    #[test]
    fn prefixes_contain_their_network(bits in any::<u128>(), length in 0_u8..=128) {
        let prefix = IpPrefix { address: IpAddr::V6(Ipv6Addr::from_bits(bits)), length };
        prop_assert!(prefix.contains(prefix.address) && prefix.contains(prefix.network().address));
        prop_assert_eq!(prefix.network().network(), prefix.network());
        prop_assert_eq!(prefix.to_string().parse::<IpPrefix>(), Ok(prefix));
    }
}
