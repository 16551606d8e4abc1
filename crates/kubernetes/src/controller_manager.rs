//! kube-controller-manager: the loops that make true what the API holds.

use machine_config::value::ClusterNetworks;

use crate::arguments::Arguments;
use crate::cluster::joined;
use crate::component::{Component, Health, Kind};
use crate::control_plane::ControlPlane;
use crate::node::text;
use crate::settings::{extra, gates, loopback_server};
use crate::tuning::seconds;
use crate::{Cluster, Error, Node, Release, Signer, identity, kubeconfig};

/// Returns the controller manager. It asks the API server of its own node: both are well, or neither is.
pub(crate) fn component(
    release: &'static Release,
    cluster: &Cluster,
    node: &Node,
    plane: &ControlPlane,
) -> Result<Component, Error> {
    let (layout, ports) = (&node.layout, node.ports);
    let own = identity::controller_manager();
    let api = format!("https://127.0.0.1:{}", ports.api);
    let config = kubeconfig::of_component(cluster, layout, Kind::ControllerManager, &api, &own);
    let (path, authority) = (
        text(&config.path),
        text(&layout.authority(Kind::ControllerManager, Signer::Kubernetes)),
    );
    let arguments = Arguments::kubernetes(Kind::ControllerManager, release);
    let mut arguments = loopback_server(arguments, layout, &own, &path, ports.controller_manager)
        .own("kubeconfig", &path)
        .own("root-ca-file", &authority)
        // One certificate: it refuses a file with several.
        .own(
            "cluster-signing-cert-file",
            text(&layout.signing_certificate(Kind::ControllerManager, Signer::Kubernetes)),
        )
        .own(
            "cluster-signing-key-file",
            text(&layout.signing_key(Kind::ControllerManager, Signer::Kubernetes)),
        )
        .own(
            "service-account-private-key-file",
            text(&layout.service_account_key(Kind::ControllerManager)),
        )
        .own("use-service-account-credentials", "true")
        .own("allocate-node-cidrs", "true")
        .own("cluster-cidr", joined(cluster.pods()))
        .own("service-cluster-ip-range", joined(cluster.services()))
        .own("cluster-name", cluster.name().as_str())
        .own("leader-elect", "true")
        .usual("leader-elect-lease-duration", seconds(plane.tuning.lease))
        .usual("leader-elect-renew-deadline", seconds(plane.tuning.renew))
        .usual("leader-elect-retry-period", seconds(plane.tuning.retry))
        .usual("profiling", "false")
        .list("feature-gates", gates(release, cluster, node)?);
    for network in cluster.pods() {
        let v4 = network.address.is_ipv4();
        let flag = match (cluster.is_dual_stack(), v4) {
            (false, _) => "node-cidr-mask-size",
            (true, true) => "node-cidr-mask-size-ipv4",
            (true, false) => "node-cidr-mask-size-ipv6",
        };
        arguments = arguments.own(flag, ClusterNetworks::node_prefix(*network).to_string());
    }
    Ok(Component {
        kind: Kind::ControllerManager,
        program: layout.program(Kind::ControllerManager),
        arguments: extra(arguments, node)?.finish()?,
        files: vec![config],
        folders: Vec::new(),
        identities: vec![own],
        trusts: vec![Signer::Kubernetes, Signer::FrontProxy],
        signs: vec![Signer::Kubernetes],
        signs_tokens: true,
        health: Health {
            url: format!("https://127.0.0.1:{}/healthz", ports.controller_manager),
            identity: None,
            trusts: Some(Signer::Kubernetes),
        },
    })
}
