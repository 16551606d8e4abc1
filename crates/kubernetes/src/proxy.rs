//! kube-proxy: forwards what goes to services.

use serde_json::json;

use crate::arguments::Arguments;
use crate::cluster::joined;
use crate::component::{Component, File, Health, Kind};
use crate::node::text;
use crate::settings::{extra, gate_map, settings};
use crate::{Cluster, Error, Node, Release, Signer, identity, kubeconfig};

/// Returns kube-proxy.
pub(crate) fn component(
    release: &'static Release,
    cluster: &Cluster,
    node: &Node,
) -> Result<Component, Error> {
    let (layout, ports) = (&node.layout, node.ports);
    let own = identity::proxy();
    let client = kubeconfig::of_component(cluster, layout, Kind::Proxy, &node.api, &own);
    let anywhere = if cluster.has_ipv6() { "::" } else { "0.0.0.0" };
    let mut document = json!({
        "apiVersion": release.proxy_config(),
        "kind": "KubeProxyConfiguration",
        "bindAddress": anywhere,
        "clientConnection": { "kubeconfig": text(&client.path) },
        "clusterCIDR": joined(cluster.pods()),
        "hostnameOverride": node.name.as_str(),
        "healthzBindAddress": socket(anywhere, ports.proxy_health),
        "metricsBindAddress": socket("127.0.0.1", ports.proxy_metrics),
        "mode": release.proxy_mode(node.proxy_mode)?.word(),
    });
    if node.in_container {
        let unchanged =
            json!({ "maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s" });
        document["conntrack"] = unchanged;
    }
    let gates = gate_map(release, cluster, node)?;
    if !gates.is_empty() {
        document["featureGates"] = json!(gates);
    }
    let config = File::yaml(
        layout.file(Kind::Proxy, "config.yaml"),
        &settings(release, node, Kind::Proxy, document),
    );
    let arguments = Arguments::kubernetes(Kind::Proxy, release).own("config", text(&config.path));
    Ok(Component {
        kind: Kind::Proxy,
        program: layout.program(Kind::Proxy),
        arguments: extra(arguments, node)?.finish()?,
        files: vec![client, config],
        folders: Vec::new(),
        identities: vec![own],
        trusts: vec![Signer::Kubernetes],
        signs: Vec::new(),
        signs_tokens: false,
        health: Health {
            url: format!("http://127.0.0.1:{}/healthz", ports.proxy_health),
            identity: None,
            trusts: None,
        },
    })
}

fn socket(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}
