//! kube-scheduler: finds a node for each pod.

use serde_json::json;

use crate::arguments::Arguments;
use crate::component::{Component, File, Health, Kind};
use crate::node::text;
use crate::plan::{ControlPlane, extra, gates, settings};
use crate::tuning::seconds;
use crate::{Cluster, Error, Node, Release, Signer, identity, kubeconfig};

/// Returns the scheduler. It asks the API server of its own node.
pub(crate) fn component(
    release: &'static Release,
    cluster: &Cluster,
    node: &Node,
    plane: &ControlPlane,
) -> Result<Component, Error> {
    let (layout, ports) = (&node.layout, node.ports);
    let own = identity::scheduler();
    let api = format!("https://127.0.0.1:{}", ports.api);
    let client = kubeconfig::of_component(cluster, layout, &api, &own);
    let path = text(&client.path);
    let document = json!({
        "apiVersion": release.scheduler_config(),
        "kind": "KubeSchedulerConfiguration",
        "clientConnection": { "kubeconfig": path },
        "leaderElection": {
            "leaderElect": true,
            "leaseDuration": seconds(plane.tuning.lease),
            "renewDeadline": seconds(plane.tuning.renew),
            "retryPeriod": seconds(plane.tuning.retry),
        },
        "enableProfiling": false,
    });
    let config = File::yaml(
        layout.file("kube-scheduler.yaml"),
        &settings(release, Kind::Scheduler, document),
    );
    let arguments = Arguments::kubernetes(Kind::Scheduler, release)
        .own("config", text(&config.path))
        .own("authentication-kubeconfig", &path)
        .own("authorization-kubeconfig", &path)
        .own("bind-address", "127.0.0.1")
        .own("secure-port", ports.scheduler.to_string())
        .own("tls-cert-file", text(&layout.certificate(own.file)))
        .own("tls-private-key-file", text(&layout.key(own.file)))
        .own("client-ca-file", text(&layout.authority(Signer::Kubernetes)))
        .own(
            "requestheader-client-ca-file",
            text(&layout.authority(Signer::FrontProxy)),
        )
        .list("feature-gates", gates(release, cluster, node)?);
    Ok(Component {
        kind: Kind::Scheduler,
        program: layout.program(Kind::Scheduler),
        arguments: extra(arguments, node)?.finish()?,
        files: vec![client, config],
        folders: Vec::new(),
        identities: vec![own],
        trusts: vec![Signer::Kubernetes, Signer::FrontProxy],
        signs: Vec::new(),
        signs_tokens: false,
        health: Health {
            url: format!("https://127.0.0.1:{}/healthz", ports.scheduler),
            identity: None,
            trusts: Some(Signer::Kubernetes),
        },
    })
}
