//! Settings that several components have: what people add, and feature gates.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::arguments::Arguments;
use crate::node::text;
use crate::{Cluster, Error, Identity, Kind, Layout, Node, Release, Signer};

/// Adds what people give for this component.
pub(crate) fn extra(arguments: Arguments, node: &Node) -> Result<Arguments, Error> {
    match node.extra.get(&arguments.kind()) {
        Some(extra) => arguments.extra(extra),
        None => Ok(arguments),
    }
}

/// Adds to a config what only this version needs.
pub(crate) fn settings(release: &Release, node: &Node, component: Kind, mut document: Value) -> Value {
    for (field, value) in release.settings(component, node.cgroups) {
        document[field] = value.clone();
    }
    document
}

/// Returns every feature gate with its switch.
pub(crate) fn gate_map(
    release: &Release,
    cluster: &Cluster,
    node: &Node,
) -> Result<BTreeMap<String, bool>, Error> {
    let mut gates = node.feature_gates.clone();
    let is_name = |name: &&String| {
        name.bytes().all(|b| b.is_ascii_alphanumeric())
            && name.starts_with(|first: char| first.is_ascii_uppercase())
    };
    if let Some(wrong) = gates.keys().find(|name| !is_name(name)) {
        return Err(Error::FeatureGate(wrong.clone()));
    }
    if let Some(gate) = release.dual_stack_gate().filter(|_| cluster.is_dual_stack()) {
        gates.insert(gate.to_owned(), true);
    }
    Ok(gates)
}

/// Returns every feature gate as it stands on a command line.
pub(crate) fn gates(release: &Release, cluster: &Cluster, node: &Node) -> Result<Vec<String>, Error> {
    let gates = gate_map(release, cluster, node)?;
    Ok(gates
        .into_iter()
        .map(|(gate, on)| format!("{gate}={on}"))
        .collect())
}

/// Makes a component serve on the loopback interface, and ask the API server, with this kubeconfig, whom it may answer.
pub(crate) fn loopback_server(
    arguments: Arguments,
    layout: &Layout,
    identity: &Identity,
    kubeconfig: &str,
    port: u16,
) -> Arguments {
    let kind = arguments.kind();
    arguments
        .own("authentication-kubeconfig", kubeconfig)
        .own("authorization-kubeconfig", kubeconfig)
        .own("bind-address", "127.0.0.1")
        .own("secure-port", port.to_string())
        .own("tls-cert-file", text(&layout.certificate(kind, identity.file)))
        .own("tls-private-key-file", text(&layout.key(kind, identity.file)))
        .own(
            "client-ca-file",
            text(&layout.authority(kind, Signer::Kubernetes)),
        )
        .own(
            "requestheader-client-ca-file",
            text(&layout.authority(kind, Signer::FrontProxy)),
        )
}
