//! etcd: the store of the cluster's state.

use crate::arguments::Arguments;
use crate::cluster::in_url;
use crate::component::{Component, Health, Kind};
use crate::control_plane::{ControlPlane, Membership};
use crate::node::text;
use crate::tuning::milliseconds;
use crate::{Error, Node, Signer, identity};

/// How many changes are kept in memory before etcd writes them together: a tenth of what it did for long, which small boards
/// cannot hold.
const SNAPSHOT_COUNT: &str = "10000";

/// How long changes are gathered before they are written to the database. They are in etcd's log before they are
/// acknowledged, and read from there after a power cut; etcd's own 100 ms write the same few pages again and again.
const BATCH_INTERVAL: &str = "10s";

/// Returns etcd's arguments. Clients are known by the authority of etcd alone, and no port is without TLS but the one for its health, on the node itself.
pub(crate) fn component(node: &Node, plane: &ControlPlane) -> Result<Component, Error> {
    let (server, peer) = (identity::etcd_server(node), identity::etcd_peer(node));
    let (layout, ports) = (&node.layout, node.ports);
    let authority = text(&layout.authority(Kind::Etcd, Signer::Etcd));
    let file = |path: std::path::PathBuf| text(&path);
    let here = format!("https://127.0.0.1:{}", ports.etcd);
    let member = |(name, address): (&str, std::net::IpAddr)| {
        format!("{name}=https://{}:{}", in_url(address), ports.etcd_peer)
    };
    let own = (node.name.as_str(), node.address());
    let (state, others) = match &plane.membership {
        Membership::First => ("new", &[][..]),
        Membership::Joins(members) => ("existing", members.as_slice()),
    };
    let others = others.iter().map(|other| (other.name.as_str(), other.address));
    let members: Vec<String> = others
        .filter(|(name, _)| *name != own.0)
        .chain([own])
        .map(member)
        .collect();
    let health = format!("http://127.0.0.1:{}", ports.etcd_health);
    let arguments = Arguments::etcd(plane.etcd)
        .own("name", own.0)
        .own("data-dir", text(&layout.etcd))
        .own("listen-client-urls", format!("{here},{}", node.url(ports.etcd)))
        .own("advertise-client-urls", node.url(ports.etcd))
        .own("listen-peer-urls", node.url(ports.etcd_peer))
        .own("initial-advertise-peer-urls", node.url(ports.etcd_peer))
        .own("listen-metrics-urls", &health)
        .own("initial-cluster", members.join(","))
        .own("initial-cluster-state", state)
        .own("initial-cluster-token", &plane.cluster_id)
        .own("cert-file", file(layout.certificate(Kind::Etcd, server.file)))
        .own("key-file", file(layout.key(Kind::Etcd, server.file)))
        .own("trusted-ca-file", &authority)
        .own("client-cert-auth", "true")
        .own("peer-cert-file", file(layout.certificate(Kind::Etcd, peer.file)))
        .own("peer-key-file", file(layout.key(Kind::Etcd, peer.file)))
        .own("peer-trusted-ca-file", &authority)
        .own("peer-client-cert-auth", "true")
        .usual("heartbeat-interval", milliseconds(plane.tuning.heartbeat))
        .usual("election-timeout", milliseconds(plane.tuning.election))
        .usual("backend-batch-interval", BATCH_INTERVAL)
        .usual("snapshot-count", SNAPSHOT_COUNT);
    Ok(Component {
        kind: Kind::Etcd,
        program: layout.program(Kind::Etcd),
        arguments: crate::settings::extra(arguments, node)?.finish()?,
        files: Vec::new(),
        folders: vec![layout.etcd.clone()],
        identities: vec![server, peer],
        trusts: vec![Signer::Etcd],
        signs: Vec::new(),
        signs_tokens: false,
        health: Health {
            url: format!("{health}/health"),
            identity: None,
            trusts: None,
        },
    })
}
