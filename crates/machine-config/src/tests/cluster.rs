//! The rules of the cluster's section.

use super::GOLDEN;
use crate::parse;

/// Lists what is wrong with the golden file after some replacements.
fn faults(replacements: &[(&str, &str)]) -> Vec<String> {
    let text = replacements.iter().fold(GOLDEN.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    });
    match parse(&text) {
        Ok(_) => Vec::new(),
        Err(faults) => faults
            .list()
            .iter()
            .map(|fault| format!("{}: {}", fault.path, fault.message))
            .collect(),
    }
}

/// The part of the golden file from one line on, up to another.
fn part(from: &str, to: &str) -> &'static str {
    let begin = GOLDEN.find(from).unwrap();
    &GOLDEN[begin..begin + GOLDEN[begin..].find(to).unwrap()]
}

#[test]
fn a_worker_s_config_holds_no_private_key() {
    let found = faults(&[("role: controlPlane", "role: worker")]);
    let refused = [
        "machine.ca.key",
        "machine.nodeLabels[\"node-role.kubernetes.io/attic\"]",
        "cluster.ca.key",
        "cluster.secrets",
    ];
    for path in refused {
        let fault = found.iter().find(|fault| fault.starts_with(&format!("{path}: ")));
        assert!(
            fault.is_some_and(|fault| fault.contains("remove it")),
            "{path}: {found:?}"
        );
    }
    assert_eq!(found.len(), refused.len(), "{found:?}");
}

#[test]
fn a_worker_knows_its_authority_without_the_key() {
    let key = |indent: &str, mark: &str| {
        let block = part(
            &format!("{indent}key: |\n{indent}  -----BEGIN PRIVATE KEY-----\n{indent}  {mark}"),
            "-----END PRIVATE KEY-----\n",
        );
        format!("{block}-----END PRIVATE KEY-----\n")
    };
    let found = faults(&[
        ("role: controlPlane", "role: worker"),
        ("    node-role.kubernetes.io/attic: \"\"\n", ""),
        (&key("    ", "MC4CAQ"), ""),
        (&key("    ", "MIGHAgEAMBMGByqGSM49Kubernetes"), ""),
        (part("  secrets:\n    etcdCA", "  network:\n    pods"), ""),
    ]);
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn a_control_plane_with_kubernetes_needs_the_rest() {
    let found = faults(&[
        (part("  secrets:\n    etcdCA", "  network:\n    pods"), ""),
        ("  id: 8d1f2c\n", ""),
        ("  name: attic\n", ""),
        ("  endpoint: https://10.0.0.2:6443\n", ""),
    ]);
    for path in [
        "cluster.secrets",
        "cluster.endpoint",
        "cluster.id",
        "cluster.name",
    ] {
        let fault = found
            .iter()
            .find(|fault| fault.starts_with(&format!("{path}: is missing; ")));
        assert!(
            fault.is_some_and(|fault| fault.contains("bedplate gen config")),
            "{path}: {found:?}"
        );
    }
    let found = faults(&[("role: controlPlane", "role: standalone")]);
    assert!(
        found
            .iter()
            .any(|fault| fault.starts_with("cluster: ca is for nodes of a cluster")),
        "{found:?}"
    );
}

#[test]
fn what_is_wrong_is_named_with_its_path() {
    let pods = "pods: [10.244.0.0/16, \"fd01::/48\"]";
    for (from, to, fault) in [
        (
            pods,
            "pods: [10.244.0.1/16, \"fd01::/48\"]",
            "cluster.network.pods: 10.244.0.1/16 is an address in a network",
        ),
        (
            pods,
            "pods: [10.244.0.0/16]",
            "cluster.network.services: needs the same families",
        ),
        (
            pods,
            "pods: [x]",
            "cluster.network.pods[0]: \"x\" is not an address",
        ),
        (
            pods,
            "podz: []",
            "cluster.network.podz: unknown field, did you mean \"pods\"?",
        ),
        (
            "10.96.0.0/12",
            "10.244.0.0/20",
            "cluster.network.services: 10.244.0.0/20 overlaps with 10.244.0.0/16",
        ),
        (
            "dnsDomain: cluster.local",
            "dnsDomain: Cluster",
            "cluster.network.dnsDomain: \"Cluster\" is not a DNS domain",
        ),
        (
            "subnets: [10.0.0.0/24]",
            "subnets: [10.0.0.0]",
            "cluster.subnets[0]: \"10.0.0.0\" is not an address",
        ),
        (
            "cni: bridge",
            "cni: none",
            "cluster.network.mesh: connects pods of the node's own network only",
        ),
        (
            "mesh: auto",
            "mesh: vxlan",
            "cluster.network.mesh: \"vxlan\" is not one of none, auto, wireguard",
        ),
        (
            "cni: bridge",
            "cni: cilium",
            "cluster.network.cni: \"cilium\" is not one of bridge, none",
        ),
        (
            "proxy: none",
            "proxy: ipvs",
            "cluster.network.proxy: \"ipvs\" is not one of auto, iptables, nftables, none",
        ),
        (
            "virtualIP: 10.0.0.5",
            "virtualIP: 10.96.0.1",
            "cluster.virtualIP: 10.96.0.1 is in 10.96.0.0/12, the network of pods or services",
        ),
        (
            "virtualIP: 10.0.0.5",
            "virtualIP: 169.254.0.5",
            "cluster.virtualIP: 169.254.0.5 is not an address that clients can reach",
        ),
        (
            "ExampleE=",
            "ExampleE",
            "cluster.secrets.encryptionKey: is not a key; expected 32 bytes in base64",
        ),
    ] {
        let found = faults(&[(from, to)]);
        assert!(
            found.iter().any(|found| found.starts_with(fault)),
            "{fault}: {found:?}"
        );
        assert!(
            !found.iter().any(|found| found.contains("ExampleExample")),
            "{found:?}"
        );
    }
    let found = faults(&[("BEGIN PRIVATE KEY", "BEGIN PRIVAT KEY")]);
    for path in [
        "cluster.ca.key",
        "cluster.secrets.etcdCA.key",
        "cluster.secrets.serviceAccountKey",
    ] {
        assert!(
            found.iter().any(|found| found.starts_with(path)),
            "{path}: {found:?}"
        );
    }
    assert!(!found.iter().any(|found| found.contains("MIGH")), "{found:?}");
}

#[test]
fn what_people_change_in_kubernetes_is_checked() {
    for (from, to, fault) in [
        (
            "example.com/shelf: \"3\"",
            "example.com/shelf/x: \"3\"",
            "machine.nodeLabels[\"example.com/shelf/x\"]: \"example.com/shelf/x\" is not a label's key",
        ),
        (
            "example.com/shelf: \"3\"",
            "kubernetes.io/hostname: x",
            "machine.nodeLabels[\"kubernetes.io/hostname\"]: kubelet sets this label",
        ),
        (
            "present:NoSchedule",
            "present:Never",
            "machine.nodeTaints[\"example.com/gpu\"]: \"present:Never\" is not a taint; expected EFFECT or VALUE:EFFECT",
        ),
        (
            "extraConfig:\n      maxPods: 50",
            "extraConfig:\n      - maxPods: 50",
            "",
        ),
        (
            "event-ttl: 10m",
            "--event-ttl: 10m",
            "cluster.apiServer.extraArgs.--event-ttl: \"--event-ttl\" is not the name of a flag",
        ),
        (
            "event-ttl: 10m",
            "event-ttl: [10m]",
            "cluster.apiServer.extraArgs.event-ttl: expected a text or number, found a list",
        ),
        (
            "rules:\n        - level: Metadata",
            "kind: Policy",
            "cluster.apiServer.auditPolicy: has no list of rules",
        ),
        (
            "rules:\n        - level: Metadata",
            "kind: Pod\n      rules: []",
            "cluster.apiServer.auditPolicy: is of another kind",
        ),
        (
            "interval: 6h\n      keep: 9",
            "interval: 9m\n      keep: 9",
            "cluster.etcd.snapshots.interval: must be from 10m to 7d",
        ),
        (
            "interval: 6h\n      keep: 9",
            "keep: 101",
            "cluster.etcd.snapshots.keep: expected a whole number from 0 to 100",
        ),
        (
            "SidecarContainers: true",
            "sidecarContainers: true",
            "cluster.featureGates.sidecarContainers: \"sidecarContainers\" is not a feature gate",
        ),
        (
            "SidecarContainers: true",
            "SidecarContainers: yes",
            "cluster.featureGates.SidecarContainers: expected true or false",
        ),
        (
            "name: camera\n",
            "name: attic\n",
            "cluster.manifests[1]: attic is listed twice",
        ),
        (
            "file: /usr/share/manifests/camera.yaml",
            "file: ../camera.yaml",
            "cluster.manifests[1].file: \"../camera.yaml\" is not a file of the image",
        ),
        (
            "      file: /usr/share/manifests/camera.yaml",
            "      files: []",
            "cluster.manifests[1]: needs either contents or file",
        ),
    ] {
        let found = faults(&[(from, to)]);
        assert!(
            !found.is_empty() && found.iter().any(|found| found.starts_with(fault)),
            "{fault}: {found:?}"
        );
    }
    let found = faults(&[("role: controlPlane", "role: worker")]);
    let label = "machine.nodeLabels[\"node-role.kubernetes.io/attic\"]: Kubernetes does not let a worker";
    assert!(found.iter().any(|found| found.starts_with(label)), "{found:?}");
}

#[test]
fn a_node_of_kubernetes_has_a_name_that_kubernetes_takes() {
    let found = faults(&[("hostname: node1", "hostname: Node-1.Attic")]);
    assert_eq!(
        found,
        [
            "machine.hostname: is not a name that Kubernetes takes, which has lower-case letters only; write node-1.attic"
        ]
    );
    let text = GOLDEN.replace("hostname: node1", "hostname: Node1");
    let found = parse(&text).unwrap_err();
    let line = text.lines().position(|line| line.contains("Node1")).unwrap() + 1;
    assert_eq!(found.list()[0].line, line);
    // At the flash tool, too.
    let overrides = crate::Overrides {
        hostname: Some("Node1".parse().unwrap()),
        ..crate::Overrides::default()
    };
    let found = overrides.apply(&parse(GOLDEN).unwrap()).unwrap_err();
    assert!(found.list()[0].message.ends_with("write node1"), "{found:?}");
    // A node without Kubernetes may be called so.
    let mut without = parse(GOLDEN).unwrap();
    without.cluster.ca = None;
    without.cluster.secrets = None;
    let applied = overrides.apply(&without);
    assert!(applied.is_ok(), "{applied:?}");
}
