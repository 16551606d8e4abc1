//! kube-scheduler: finds a node for each pod.

use serde_json::{Value, json};

use crate::arguments::Arguments;
use crate::component::{Component, File, Health, Kind};
use crate::control_plane::ControlPlane;
use crate::node::text;
use crate::settings::{extra, gates, loopback_server, settings};
use crate::tuning::{Tuning, seconds};
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
    let client = kubeconfig::of_component(cluster, layout, Kind::Scheduler, &api, &own);
    let path = text(&client.path);
    let mut files = vec![client];
    let arguments = Arguments::kubernetes(Kind::Scheduler, release);
    let arguments = loopback_server(arguments, layout, &own, &path, ports.scheduler)
        .list("feature-gates", gates(release, cluster, node)?);
    let arguments = match release.scheduler_config() {
        Some(api) => {
            let document = settings(
                release,
                node,
                Kind::Scheduler,
                document(api, &path, &plane.tuning),
            );
            let config = File::yaml(layout.file(Kind::Scheduler, "config.yaml"), &document);
            let arguments = arguments.own("config", text(&config.path));
            files.push(config);
            arguments
        }
        None => arguments
            .own("kubeconfig", &path)
            .own("leader-elect", "true")
            .usual("leader-elect-lease-duration", seconds(plane.tuning.lease))
            .usual("leader-elect-renew-deadline", seconds(plane.tuning.renew))
            .usual("leader-elect-retry-period", seconds(plane.tuning.retry))
            .usual("profiling", "false"),
    };
    Ok(Component {
        kind: Kind::Scheduler,
        program: layout.program(Kind::Scheduler),
        arguments: extra(arguments, node)?.finish()?,
        files,
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

fn document(api: &str, kubeconfig: &str, tuning: &Tuning) -> Value {
    json!({
        "apiVersion": api,
        "kind": "KubeSchedulerConfiguration",
        "clientConnection": { "kubeconfig": kubeconfig },
        "leaderElection": {
            "leaderElect": true,
            "leaseDuration": seconds(tuning.lease),
            "renewDeadline": seconds(tuning.renew),
            "retryPeriod": seconds(tuning.retry),
        },
        "enableProfiling": false,
    })
}
