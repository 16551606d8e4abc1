//! Starts and stops etcd as the node's services do: by `EtcdMembership`, again whenever it ends, and with its health told.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use control_plane_testkit::sample;
use etcd::Ports;
use kubernetes::control_plane::{Member, Membership};
use kubernetes::{Component, Identity, Kind, Layout, Release, Signer, Version, plan};
use pki::{Issued, KubernetesSecrets};
use state::Store;
use state::kinds::{EtcdMembership, EtcdStart, NODE, ServiceHealth, ServiceState, ServiceStatus};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::program::Running;

/// The network that stands for that of the nodes in what the crate `kubernetes` takes: it refuses loopback addresses.
const STAND_IN: &str = "192.0.2.";
/// How long until an etcd that has ended is started again.
const PAUSE: Duration = Duration::from_millis(500);

/// What a node's etcd is started with.
pub struct Recipe {
    pub program: PathBuf,
    pub version: Version,
    pub name: String,
    pub host: u8,
    pub network: String,
    pub ports: Ports,
    /// The port of its health.
    pub health: u16,
    /// The disk of the node.
    pub folder: PathBuf,
}

impl Recipe {
    /// Returns etcd as a node has it.
    fn component(&self, membership: Membership) -> Component {
        let cluster = sample::cluster(&format!("https://{STAND_IN}1:6443"));
        let mut node = sample::node(&cluster, &self.name, &format!("{STAND_IN}{}", self.host));
        node.ports.etcd = self.ports.client;
        node.ports.etcd_peer = self.ports.peer;
        node.ports.etcd_health = self.health;
        node.layout = Layout {
            settings: self.folder.join("run"),
            etcd: self.folder.join("etcd"),
            ..Layout::default()
        };
        let mut plane = sample::plane(&self.version.to_string());
        plane.membership = membership;
        let release = Release::of("1.36".parse().unwrap()).unwrap();
        let all = plan(release, &cluster, &node, Some(&plane)).unwrap();
        all.into_iter()
            .find(|component| component.kind == Kind::Etcd)
            .unwrap()
    }

    /// Returns etcd's arguments at the address that the node really has.
    fn arguments(&self, start: &EtcdStart) -> Vec<String> {
        let peers = match start {
            EtcdStart::Joins(peers) => peers.as_slice(),
            EtcdStart::First | EtcdStart::NotYet => &[],
        };
        let member = |peer: &state::kinds::EtcdPeer| Member {
            name: peer.name.parse().unwrap(),
            address: peer
                .address
                .to_string()
                .replace(&self.network, STAND_IN)
                .parse()
                .unwrap(),
        };
        let membership = match start {
            EtcdStart::First => Membership::First,
            _ => Membership::Joins(peers.iter().map(member).collect()),
        };
        let arguments = self.component(membership).arguments.into_iter();
        // All nodes of a test share 127.0.0.1.
        let here = format!("https://127.0.0.1:{},", self.ports.client);
        arguments
            .map(|argument| argument.replace(STAND_IN, &self.network).replace(&here, ""))
            .collect()
    }

    pub fn write_certificates(
        &self,
        secrets: &KubernetesSecrets,
        issue: impl Fn(&Identity, &[String]) -> Issued,
    ) {
        let component = self.component(Membership::First);
        let folder = self.folder.join("run/etcd");
        fs::create_dir_all(&folder).unwrap();
        for identity in &component.identities {
            let names = identity.alternative_names.iter();
            // Members call each other from here, whatever their own address is, and their certificates have to say so.
            let here = std::iter::once("127.0.0.1".to_owned());
            let names: Vec<String> = names
                .map(|name| name.replace(STAND_IN, &self.network))
                .chain(here)
                .collect();
            let issued = issue(identity, &names);
            fs::write(folder.join(format!("{}.crt", identity.file)), issued.pem).unwrap();
            let key = folder.join(format!("{}.key", identity.file));
            fs::write(&key, issued.key.to_pem().as_bytes()).unwrap();
            fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        }
        let authority = folder.join(format!("{}.crt", Signer::Etcd.file()));
        fs::write(authority, secrets.etcd.certificate_pem()).unwrap();
    }
}

/// Runs etcd as the store says, until `stop`.
pub async fn run(recipe: Recipe, store: Store, stop: CancellationToken) {
    let mut running: Option<(EtcdStart, Running)> = None;
    while !stop.is_cancelled() {
        let membership: Option<EtcdMembership> = store.get(NODE);
        let wanted = membership.map(|membership| membership.start);
        let wanted = wanted.filter(|start| *start != EtcdStart::NotYet);
        let keep = match (&wanted, &mut running) {
            (Some(wanted), Some((start, etcd))) => wanted == start && !etcd.has_ended(),
            _ => false,
        };
        if !keep {
            // The old one ends before the new one takes its ports.
            drop(running.take());
            running = wanted.map(|start| {
                let arguments = recipe.arguments(&start);
                fs::create_dir_all(recipe.folder.join("etcd")).unwrap();
                fs::set_permissions(recipe.folder.join("etcd"), fs::Permissions::from_mode(0o700)).unwrap();
                let etcd = Running::start(&recipe.program, &arguments, &recipe.folder.join("etcd.log"));
                (start, etcd)
            });
        }
        match running {
            Some(_) => {
                let healthy = is_healthy((std::net::Ipv4Addr::LOCALHOST, recipe.health).into()).await;
                store.put("services", "etcd", status(healthy)).unwrap();
            }
            None => {
                store.remove::<ServiceStatus>("services", "etcd").unwrap();
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Asks etcd for its health, as the node does.
async fn is_healthy(at: SocketAddr) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(at).await.ok()?;
        stream
            .write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .await
            .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        answer.starts_with("HTTP/1.1 200").then_some(())
    };
    matches!(
        tokio::time::timeout(Duration::from_secs(5), ask).await,
        Ok(Some(()))
    )
}

fn status(healthy: bool) -> ServiceStatus {
    ServiceStatus {
        state: ServiceState::Running,
        health: match healthy {
            true => ServiceHealth::Healthy,
            false => ServiceHealth::Unhealthy,
        },
        message: String::new(),
        pid: None,
        restarts: 0,
        since_ms: 0,
        cgroup: String::new(),
        wanted: true,
        last_exit: None,
        memory_bytes: None,
        written_bytes: None,
        written_last_hour_bytes: None,
        rights: None,
    }
}
