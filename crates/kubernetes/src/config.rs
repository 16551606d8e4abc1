//! What a machine config says of a node's Kubernetes.

use std::net::IpAddr;

use base64ct::{Base64, Encoding as _};
use machine_config::MachineConfig;
use machine_config::v1alpha1::{Proxy, Role};
use machine_config::value::{ClusterNetworks, Host};
use zeroize::Zeroizing;

use crate::release::ProxyMode;
use crate::{Cluster, Error, Node, changes};

/// The name of a cluster in files for its components, where a worker's config does not say it.
const NAME: &str = "kubernetes";

/// What a node is to run.
#[derive(Debug)]
pub struct Wanted {
    /// Its cluster.
    pub cluster: Cluster,
    /// The node itself.
    pub node: Node,
    /// What only a control plane knows.
    pub control_plane: Option<WantedControlPlane>,
}

/// What the config of a control plane says beside the cluster and the node.
pub struct WantedControlPlane {
    /// The identity of the cluster.
    pub cluster_id: String,
    /// Further names and addresses for the API's certificate.
    pub names: Vec<Host>,
    /// The key by which secrets are encrypted in etcd.
    pub encryption_key: Zeroizing<[u8; 32]>,
}

impl std::fmt::Debug for WantedControlPlane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WantedControlPlane")
            .field("cluster_id", &self.cluster_id)
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

/// Reads a config for a node that is called `host_name` and has these addresses, best first. Returns none where the node runs
/// no Kubernetes.
///
/// The node's own address is the first of each family that is in `cluster.subnets`, if some are listed, and neither
/// link-local nor of pods or services, and never `cluster.virtualIP`. An address that is the cluster's endpoint may be moved by
/// others: it is taken only where there is no other.
///
/// # Errors
///
/// A name that Kubernetes does not take, or a node without an address of its own.
pub fn wanted(
    config: &MachineConfig,
    host_name: &str,
    addresses: &[IpAddr],
) -> Result<Option<Wanted>, Error> {
    let (machine, section) = (&config.machine, &config.cluster);
    let (Some(_), Some(endpoint)) = (&section.ca, &section.endpoint) else {
        return Ok(None);
    };
    if machine.role == Role::Standalone {
        return Ok(None);
    }
    let networks = ClusterNetworks::new(&section.network.pods, &section.network.services);
    let networks = networks.expect("a config that was read has networks that fit together");
    let name = section
        .name
        .clone()
        .unwrap_or_else(|| NAME.parse().expect("it is a name"));
    let cluster = Cluster::new(
        name,
        endpoint.clone(),
        section.network.dns_domain.clone(),
        networks,
    );
    let listed = |address: &&IpAddr| {
        section.subnets.is_empty() || section.subnets.iter().any(|subnet| subnet.contains(**address))
    };
    let virtual_one = cluster.endpoint_host().parse::<IpAddr>().ok();
    let stays = |address: &&IpAddr| Some(**address) != section.virtual_ip;
    let mut own: Vec<IpAddr> = addresses.iter().filter(listed).filter(stays).copied().collect();
    own.sort_by_key(|address| Some(*address) == virtual_one);
    let mut node = Node::new(&cluster, host_name.parse()?, &own)?;
    match section.network.proxy {
        Proxy::Auto => (),
        Proxy::Iptables => node.proxy_mode = Some(ProxyMode::Iptables),
        Proxy::Nftables => node.proxy_mode = Some(ProxyMode::Nftables),
        Proxy::None => node.runs_proxy = false,
    }
    changes::apply(config, &mut node);
    let moving = section.virtual_ip.iter().map(|address| {
        let text = address.to_string();
        text.parse::<Host>().expect("an address is a host")
    });
    let control_plane = section.secrets.as_ref().and_then(|secrets| {
        let names = machine.cert_sans.iter().chain(&section.api_server.cert_sans);
        Some(WantedControlPlane {
            cluster_id: section.id.as_ref()?.to_string(),
            names: names.cloned().chain(moving).collect(),
            encryption_key: encryption_key(secrets.encryption_key.expose())?,
        })
    });
    Ok(Some(Wanted {
        cluster,
        node,
        control_plane,
    }))
}

/// Reads a key whose form was checked with the config.
fn encryption_key(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let mut key = Zeroizing::new([0; 32]);
    let decoded = Base64::decode(text, key.as_mut()).ok()?.len();
    (decoded == 32).then_some(key)
}

#[cfg(test)]
mod tests {
    use machine_config::value::Document;

    use super::*;
    use crate::control_plane::Membership;
    use crate::tuning::Tuning;
    use crate::{ControlPlane, EtcdRelease, Kind, Release};

    const CERTIFICATE: &str = "\"-----BEGIN CERTIFICATE-----\\nMIIB\\n-----END CERTIFICATE-----\"";
    const KEY: &str = "\"-----BEGIN PRIVATE KEY-----\\nMC4C\\n-----END PRIVATE KEY-----\"";

    fn config(role: &str, cluster: &str) -> MachineConfig {
        let (machine, ca, secrets) = match role {
            "worker" => ("", format!("{{cert: {CERTIFICATE}}}"), String::new()),
            _ => {
                let pair = format!("{{cert: {CERTIFICATE}, key: {KEY}}}");
                let encryption = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
                let secrets = format!(
                    "  secrets: {{etcdCA: {pair}, frontProxyCA: {pair}, serviceAccountKey: {KEY}, encryptionKey: {encryption}}}\n"
                );
                ("key", pair, secrets)
            }
        };
        let key = if machine.is_empty() {
            String::new()
        } else {
            format!(", key: {KEY}")
        };
        let text = format!(
            "apiVersion: bedplate.dev/v1alpha1\nkind: MachineConfig\nmachine:\n  role: {role}\n  ca: {{cert: {CERTIFICATE}{key}}}\n  \
             token: 0123456789abcdef.secret\n  certSANs: [api.home.example]\ncluster:\n  name: home\n  id: abc\n  endpoint: https://192.168.1.100:6443\n  \
             ca: {ca}\n{secrets}{cluster}"
        );
        machine_config::parse(&text).unwrap()
    }

    fn addresses(all: &[&str]) -> Vec<IpAddr> {
        all.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_control_plane_and_a_worker_are_what_their_configs_say() {
        let own = addresses(&["192.168.1.7"]);
        let plane = wanted(&config("controlPlane", ""), "node1", &own)
            .unwrap()
            .unwrap();
        let keys = plane.control_plane.unwrap();
        assert_eq!(*keys.encryption_key, [1; 32]);
        assert_eq!(
            (keys.cluster_id.as_str(), keys.names[0].as_str()),
            ("abc", "api.home.example")
        );
        assert_eq!(plane.cluster.name().as_str(), "home");
        assert!(!format!("{keys:?}").contains("[1, 1"), "{keys:?}");
        let section = "  network: {pods: [10.1.0.0/16], services: [10.2.0.0/16], dnsDomain: home.lan}\n";
        let worker = wanted(&config("worker", section), "node2", &own)
            .unwrap()
            .unwrap();
        assert!(worker.control_plane.is_none());
        assert_eq!(worker.cluster.domain().as_str(), "home.lan");
        assert_eq!(worker.cluster.dns_service(), addresses(&["10.2.0.10"]));
        assert!(wanted(&config("worker", ""), "Node2", &own).is_err());
        let mut without = config("worker", "");
        without.cluster.ca = None;
        assert!(wanted(&without, "Node2", &own).unwrap().is_none());
    }

    #[test]
    fn what_people_change_reaches_the_component_that_it_is_for() {
        let section = "  apiServer:
    certSANs: [k8s.example.org]
    extraArgs: {event-ttl: 10m, enable-admission-plugins: AlwaysPullImages}
    admissionControl: [{name: PodSecurity, configuration: {kind: PodSecurityConfiguration}}]
    auditPolicy: {rules: [{level: Request}]}
  controllerManager: {extraArgs: {v: 5}}
  featureGates: {SidecarContainers: true}
";
        let mut config = config("controlPlane", section);
        let document = |text| Some(Document(serde_json::from_str(text).unwrap()));
        let machine = &mut config.machine;
        machine.kubelet.extra_config =
            document(r#"{"maxPods": 50, "evictionHard": {"memory.available": "1Mi"}}"#);
        for (key, value) in [("node-role.kubernetes.io/attic", ""), ("example.com/shelf", "3")] {
            let (key, value) = (key.parse().unwrap(), value.parse().unwrap());
            machine.node_labels.insert(key, value);
        }
        let taint = "present:NoExecute".parse().unwrap();
        machine.node_taints.insert("gpu".parse().unwrap(), taint);
        let found = wanted(&config, "node1", &addresses(&["192.168.1.7"]))
            .unwrap()
            .unwrap();
        let plane = found.control_plane.unwrap();
        assert!(plane.names.iter().any(|name| name.as_str() == "k8s.example.org"));
        let plane = ControlPlane {
            etcd: EtcdRelease::of("3.5.16".parse().unwrap()).unwrap(),
            membership: Membership::First,
            cluster_id: plane.cluster_id,
            names: plane.names,
            encryption_key: plane.encryption_key,
            tuning: Tuning::default(),
        };
        let release = Release::of("1.36.2".parse().unwrap()).unwrap();
        let components = crate::plan(release, &found.cluster, &found.node, Some(&plane)).unwrap();
        let of = |kind| {
            components
                .iter()
                .find(|component| component.kind == kind)
                .unwrap()
        };
        let shown = |kind| {
            let files: Vec<String> = of(kind)
                .files
                .iter()
                .map(|file| file.contents.to_string())
                .collect();
            format!("{}\n{}", of(kind).arguments.join("\n"), files.join("\n"))
        };
        let has = |kind, words: &[&str]| {
            for word in words {
                assert!(shown(kind).contains(word), "{word}: {}", shown(kind));
            }
        };
        has(
            Kind::ApiServer,
            &[
                "--event-ttl=10m\n",
                "NodeRestriction,PodSecurity,AlwaysPullImages\n",
                "kind: PodSecurityConfiguration",
                "level: Request",
                "--feature-gates=SidecarContainers=true",
            ],
        );
        has(Kind::ControllerManager, &["--v=5\n"]);
        has(
            Kind::Kubelet,
            &[
                "maxPods: 50",
                "memory.available: 1Mi",
                "node-labels=example.com/shelf=3\n",
            ],
        );
        has(Kind::Kubelet, &["effect: NoExecute", "SidecarContainers: true"]);
        // Kubernetes takes that label from administrators only: a kubelet that asks for it does not start.
        assert!(!shown(Kind::Kubelet).contains("node-role"));

        config.machine.kubelet.extra_config =
            document(r#"{"authentication": {"anonymous": {"enabled": true}}}"#);
        let found = wanted(&config, "node1", &addresses(&["192.168.1.7"]))
            .unwrap()
            .unwrap();
        let refused = crate::plan(release, &found.cluster, &found.node, None).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "authentication of kubelet's config follows from the rest of the config and cannot be given; remove it"
        );
    }

    #[test]
    fn the_node_s_own_address_is_never_a_virtual_one_unless_it_has_no_other() {
        let own = |section: &str, all: &[&str]| {
            let wanted = wanted(&config("worker", section), "node1", &addresses(all));
            wanted
                .map(|wanted| wanted.unwrap().node.address().to_string())
                .map_err(|error| error.to_string())
        };
        let all = [
            "192.168.1.100",
            "192.168.1.7",
            "10.0.0.7",
            "10.244.3.1",
            "169.254.0.9",
        ];
        assert_eq!(own("", &all).as_deref(), Ok("192.168.1.7"));
        assert_eq!(own("", &all[..1]).as_deref(), Ok("192.168.1.100"));
        let moving = "  virtualIP: 192.168.1.7\n";
        assert_eq!(own(moving, &all).as_deref(), Ok("10.0.0.7"));
        assert!(own(moving, &all[1..2]).is_err());
        assert_eq!(own("  subnets: [10.0.0.0/8]\n", &all).as_deref(), Ok("10.0.0.7"));
        let error = own("  subnets: [172.16.0.0/12]\n", &all).unwrap_err();
        assert!(
            error.starts_with("node node1 has no address of its own"),
            "{error}"
        );
    }

    #[test]
    fn the_proxy_and_the_address_that_moves_are_what_the_config_says() {
        let own = addresses(&["192.168.1.7"]);
        let of = |section: &str| {
            wanted(&config("controlPlane", section), "node1", &own)
                .unwrap()
                .unwrap()
        };
        let node = of("  network: {proxy: iptables}\n").node;
        assert!(node.runs_proxy);
        assert_eq!(node.proxy_mode, Some(ProxyMode::Iptables));
        assert!(!of("  network: {proxy: none}\n").node.runs_proxy);
        let names = of("  virtualIP: 192.168.1.5\n").control_plane.unwrap().names;
        assert_eq!(names.last().unwrap().as_str(), "192.168.1.5");
    }
}
