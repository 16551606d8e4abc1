//! kubelet: runs the pods of a node.

use serde_json::{Value, json};

use crate::arguments::Arguments;
use crate::cluster::joined;
use crate::component::{Component, File, Health, Kind};
use crate::merge::merge;
use crate::node::{Taint, text};
use crate::settings::{extra, gate_map, settings};
use crate::{Cluster, Error, Node, Release, Signer, identity, kubeconfig};

/// Fields that secure kubelet, or that follow from the rest of the config.
const OWN: [&str; 17] = [
    "apiVersion",
    "kind",
    "address",
    "port",
    "readOnlyPort",
    "healthzBindAddress",
    "healthzPort",
    "authentication",
    "authorization",
    "tlsCertFile",
    "tlsPrivateKeyFile",
    "rotateCertificates",
    "serverTLSBootstrap",
    "staticPodPath",
    "clusterDomain",
    "containerRuntimeEndpoint",
    "registerWithTaints",
];

/// Returns kubelet. It answers only whom the API knows and allows, and starts no pod that the API does not name.
pub(crate) fn component(
    release: &'static Release,
    cluster: &Cluster,
    node: &Node,
) -> Result<Component, Error> {
    let (layout, ports) = (&node.layout, node.ports);
    let (own, serving) = (identity::kubelet(node), identity::kubelet_server(node));
    let client = kubeconfig::of_component(cluster, layout, Kind::Kubelet, &node.api, &own);
    let endpoint = format!("unix://{}", layout.runtime.display());
    let mut document = json!({
        "apiVersion": release.kubelet_config(),
        "kind": "KubeletConfiguration",
        "address": if cluster.has_ipv6() { "::" } else { "0.0.0.0" },
        "port": ports.kubelet,
        "readOnlyPort": 0,
        "healthzBindAddress": "127.0.0.1",
        "healthzPort": ports.kubelet_health,
        "authentication": {
            "anonymous": { "enabled": false },
            "webhook": { "enabled": true },
            "x509": { "clientCAFile": text(&layout.authority(Kind::Kubelet, Signer::Kubernetes)) },
        },
        "authorization": { "mode": "Webhook" },
        "tlsCertFile": text(&layout.certificate(Kind::Kubelet, serving.file)),
        "tlsPrivateKeyFile": text(&layout.key(Kind::Kubelet, serving.file)),
        // Bedplate renews both certificates itself.
        "rotateCertificates": false,
        "cgroupDriver": "cgroupfs",
        "clusterDNS": cluster.dns_service(),
        "clusterDomain": cluster.domain().to_string(),
        "resolvConf": text(&layout.resolv_conf),
        // The usual place is on the root file system, which nobody can write to.
        "volumePluginDir": text(&layout.kubelet.join("volumeplugins")),
        "failSwapOn": false,
    });
    let mut arguments = Arguments::kubernetes(Kind::Kubelet, release)
        .own("config", text(&layout.file(Kind::Kubelet, "config.yaml")))
        .own("kubeconfig", text(&client.path))
        .own("hostname-override", node.name.as_str())
        .own("node-ip", joined(node.addresses()))
        .own("root-dir", text(&layout.kubelet))
        .own("cert-dir", text(&layout.kubelet.join("pki")))
        .list(
            "node-labels",
            node.labels.iter().map(|(key, value)| format!("{key}={value}")),
        );
    let mut set = |field: &str, value: Value| document[field] = value;
    match release.kubelet_by_flag("container-runtime-endpoint") {
        true => arguments = arguments.own("container-runtime-endpoint", endpoint),
        false => set("containerRuntimeEndpoint", json!(endpoint)),
    }
    match release.kubelet_by_flag("register-with-taints") {
        true => arguments = arguments.list("register-with-taints", node.taints.iter().map(as_flag)),
        false if node.taints.is_empty() => (),
        false => set("registerWithTaints", node.taints.iter().map(as_field).collect()),
    }
    // Later versions ask the container runtime which image that is.
    if release.kubelet_by_flag("pod-infra-container-image") {
        arguments = arguments.own("pod-infra-container-image", &layout.pause_image);
    }
    let gates = gate_map(release, cluster, node)?;
    if !gates.is_empty() {
        set("featureGates", json!(gates));
    }
    if node.in_container {
        // How full the host's disk is says nothing about these pods, and removing them would not help.
        set("imageGCHighThresholdPercent", json!(100));
        set(
            "evictionHard",
            json!({
                "memory.available": "100Mi",
                "imagefs.available": "0%",
                "nodefs.available": "0%",
                "nodefs.inodesFree": "0%",
            }),
        );
    }
    let mut document = settings(release, node, Kind::Kubelet, document);
    if let Some(given) = &node.kubelet_config {
        merge(Kind::Kubelet, &mut document, given, &OWN)?;
    }
    let config = File::yaml(layout.file(Kind::Kubelet, "config.yaml"), &document);
    Ok(Component {
        kind: Kind::Kubelet,
        program: layout.program(Kind::Kubelet),
        arguments: extra(arguments, node)?.finish()?,
        files: vec![client, config],
        folders: vec![layout.kubelet.clone()],
        identities: vec![own, serving],
        trusts: vec![Signer::Kubernetes],
        signs: Vec::new(),
        signs_tokens: false,
        health: Health {
            url: format!("http://127.0.0.1:{}/healthz", ports.kubelet_health),
            identity: None,
            trusts: None,
        },
    })
}

fn as_flag(taint: &Taint) -> String {
    format!("{}={}:{}", taint.key, taint.value, taint.effect)
}

fn as_field(taint: &Taint) -> Value {
    json!({ "key": taint.key, "value": taint.value, "effect": taint.effect.to_string() })
}
