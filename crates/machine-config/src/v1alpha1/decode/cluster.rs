//! Reads the cluster that a node belongs to.

use std::net::IpAddr;

use super::kubernetes::{api_server, component, etcd, feature_gates, manifests};
use super::secrets::{Marks, authority, pem_secret, secret};
use crate::decode::{Cursor, Object};
use crate::v1alpha1::{Cluster, ClusterDiscovery, ClusterNetwork, ClusterSecrets, Cni, Mesh, Proxy, Role};
use crate::value::{ClusterNetworks, NetworkKind};
use crate::{MachineConfig, Secret};

/// What to do where a worker does not know its control plane.
pub(super) const ENDPOINT_NEEDED: &str = "a worker must know where its control plane is";

/// Reads the section. Rules that depend on what the node does are left out where that could not be read.
pub(super) fn cluster(cursor: Cursor<'_>, role: Option<Role>, marks: Marks<'_>) -> Option<Cluster> {
    let mut o = cursor.object()?;
    let runs_kubernetes = o.has("ca");
    if role == Some(Role::Worker) && !o.has("endpoint") {
        o.missing("endpoint", ENDPOINT_NEEDED);
    }
    let name = o.field("name").and_then(|c| c.parsed());
    let id = o.field("id").and_then(|c| c.parsed());
    let endpoint = o.field("endpoint").and_then(|c| c.parsed());
    let ca = o
        .field("ca")
        .and_then(|c| authority(c, role, marks, |config| config.cluster.ca.as_ref()));
    let secrets = o.field("secrets").and_then(|c| match role {
        Some(Role::Worker) => {
            c.fault("a worker must not hold what control planes sign with; remove it");
            None
        }
        _ => secrets(c, role, marks),
    });
    if role == Some(Role::Standalone) && runs_kubernetes {
        o.here()
            .fault("ca is for nodes of a cluster; remove it, or choose another role");
    }
    if role == Some(Role::ControlPlane) && runs_kubernetes {
        needed(&o, "secrets", "control planes sign with it");
        needed(&o, "endpoint", "nodes and clients reach the control plane there");
        needed(&o, "id", "etcd never joins a cluster of another identity");
        needed(&o, "name", "it stands in the files of those who use the cluster");
    }
    let network = o.field("network").and_then(network).unwrap_or_default();
    let discovery = o.field("discovery").and_then(discovery).unwrap_or_default();
    let subnets = o.field("subnets").map(Cursor::list_of).unwrap_or_default();
    let virtual_ip = o.field("virtualIP").and_then(|c| virtual_ip(&c, &network));
    let api_server = o.field("apiServer").and_then(api_server).unwrap_or_default();
    let mut settings = |name| o.field(name).and_then(component).unwrap_or_default();
    let [controller_manager, scheduler] = ["controllerManager", "scheduler"].map(&mut settings);
    let etcd = o.field("etcd").and_then(etcd).unwrap_or_default();
    let feature_gates = o.field("featureGates").map(feature_gates).unwrap_or_default();
    let allow_scheduling = o.field("allowSchedulingOnControlPlanes");
    let allow_scheduling_on_control_planes = allow_scheduling.and_then(|c| c.boolean());
    let manifests = o.field("manifests").map(manifests).unwrap_or_default();
    o.finish();
    Some(Cluster {
        name,
        id,
        endpoint,
        ca,
        secrets,
        network,
        discovery,
        subnets,
        virtual_ip,
        api_server,
        controller_manager,
        scheduler,
        etcd,
        feature_gates,
        allow_scheduling_on_control_planes,
        manifests,
    })
}

/// Reads the address that moves between control planes: one that a node can have, and that no pod or service has.
fn virtual_ip(cursor: &Cursor<'_>, network: &ClusterNetwork) -> Option<IpAddr> {
    let address: IpAddr = cursor.parsed()?;
    let (link_local, broadcast) = match address {
        IpAddr::V4(v4) => (v4.is_link_local(), v4.is_broadcast()),
        IpAddr::V6(v6) => (v6.is_unicast_link_local(), false),
    };
    let unusable = address.is_unspecified() || address.is_loopback() || address.is_multicast();
    if unusable || link_local || broadcast {
        cursor.fault(format!(
            "{address} is not an address that clients can reach; give a free one of the nodes' network"
        ));
        return None;
    }
    if let Ok(networks) = ClusterNetworks::new(&network.pods, &network.services) {
        let mut taken = networks.pods().iter().chain(networks.services());
        if let Some(taken) = taken.find(|network| network.contains(address)) {
            cursor.fault(format!(
                "{address} is in {taken}, the network of pods or services; give a free one of the nodes' network"
            ));
        }
    }
    Some(address)
}

fn needed(o: &Object<'_>, field: &str, why: &str) {
    if !o.has(field) {
        o.missing(field, &format!("{why}; `bedplate gen config` writes it"));
    }
}

fn secrets(cursor: Cursor<'_>, role: Option<Role>, marks: Marks<'_>) -> Option<ClusterSecrets> {
    let mut o = cursor.object()?;
    fn of(config: &MachineConfig) -> Option<&ClusterSecrets> {
        config.cluster.secrets.as_ref()
    }
    let made = "`bedplate gen secrets` makes one";
    let etcd_ca = o.required("etcdCA", made).and_then(|c| {
        authority(c, role, marks, |config| {
            of(config).map(|secrets| &secrets.etcd_ca)
        })
    });
    let front_proxy_ca = o.required("frontProxyCA", made).and_then(|c| {
        authority(c, role, marks, |config| {
            of(config).map(|secrets| &secrets.front_proxy_ca)
        })
    });
    let service_account_key = o.required("serviceAccountKey", made).and_then(|c| {
        pem_secret(&c, marks, |config| {
            of(config).map(|secrets| &secrets.service_account_key)
        })
    });
    let encryption_key = o
        .required("encryptionKey", made)
        .and_then(|c| encryption_key(&c, marks));
    o.finish();
    Some(ClusterSecrets {
        etcd_ca: etcd_ca?,
        front_proxy_ca: front_proxy_ca?,
        service_account_key: service_account_key?,
        encryption_key: encryption_key?,
    })
}

fn encryption_key(cursor: &Cursor<'_>, marks: Marks<'_>) -> Option<Secret> {
    let key = secret(cursor, marks, |config| {
        config
            .cluster
            .secrets
            .as_ref()
            .map(|secrets| &secrets.encryption_key)
    })?;
    let digits = |text: &str| {
        text.bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'))
    };
    // 32 bytes are 43 digits and one to fill up with.
    let fine = key.is_redacted()
        || key
            .expose()
            .strip_suffix('=')
            .is_some_and(|text| text.len() == 43 && digits(text));
    if !fine {
        cursor.fault("is not a key; expected 32 bytes in base64: `bedplate gen secrets` makes one");
    }
    fine.then_some(key)
}

fn discovery(cursor: Cursor<'_>) -> Option<ClusterDiscovery> {
    let mut o = cursor.object()?;
    let mdns = o.field("mdns").and_then(|c| c.boolean()).unwrap_or(true);
    o.finish();
    Some(ClusterDiscovery { mdns })
}

fn network(cursor: Cursor<'_>) -> Option<ClusterNetwork> {
    let mut o = cursor.object()?;
    let (pods, services) = (o.field("pods"), o.field("services"));
    let lists = [&pods, &services].map(|field| field.clone().map(Cursor::list_of).unwrap_or_default());
    let dns_domain = o.field("dnsDomain").and_then(|c| c.parsed());
    let cni = o
        .field("cni")
        .and_then(|c| c.choice(&Cni::ALL))
        .unwrap_or_default();
    let proxy = o
        .field("proxy")
        .and_then(|c| c.choice(&Proxy::ALL))
        .unwrap_or_default();
    let mesh = o
        .field("mesh")
        .and_then(|c| c.choice(&Mesh::ALL))
        .unwrap_or_default();
    if cni == Cni::None
        && mesh != Mesh::None
        && let Some(field) = o.field("mesh")
    {
        field.fault("connects pods of the node's own network only; remove it, or set cni to bridge");
    }
    let complete = [&pods, &services].into_iter().zip(&lists).all(|(field, list)| {
        // Where one of them could not be read, what is wrong is told already.
        let items = field.clone().map_or(0, |field| field.items().len());
        items == list.len()
    });
    if complete && let Err(error) = ClusterNetworks::new(&lists[0], &lists[1]) {
        let at = match error.kind {
            NetworkKind::Pods => &pods,
            NetworkKind::Services => &services,
        };
        at.as_ref()
            .or(pods.as_ref())
            .unwrap_or(o.here())
            .fault(error.reason);
    }
    o.finish();
    let [pods, services] = lists;
    Some(ClusterNetwork {
        pods,
        services,
        dns_domain,
        cni,
        proxy,
        mesh,
    })
}
