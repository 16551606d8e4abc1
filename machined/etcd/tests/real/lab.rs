//! A cluster of control planes, each with a controller and an etcd of its own.

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant, SystemTime};

use etcd::{EtcdHandle, Places, Ports, Restorer};
use etcd_client::rpc::Member;
use etcd_client::{Credentials, Etcd};
use kubernetes::Version;
use machine_config::Secret;
use machine_config::v1alpha1::{CertificateAuthority, ClusterSecrets, EtcdSnapshots, Role};
use node::Node;
use node::children::Children;
use pki::authority::SERVER_LIFE;
use pki::{Authority, Issued, KubernetesSecrets, Purposes, Subject, Validity};
use release_file::Release as ReleaseFile;
use state::kinds::{
    ClusterMember, ClusterPeer, ComponentCertificate, EtcdMembership, NODE, Volume, VolumeState, VolumeStatus,
};
use state::{Runtime, Store};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::program;
use crate::services::{self, Recipe};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// What all control planes share.
pub struct Lab {
    program: PathBuf,
    version: Version,
    secrets: KubernetesSecrets,
    ports: Ports,
    network: String,
    children: Children,
    /// The snapshots that control planes take: none, unless a test sets it.
    pub snapshots: EtcdSnapshots,
    pub folder: TempDir,
}

/// A control plane that runs until the value is dropped. Its disk stays in the lab.
pub struct Plane {
    pub name: String,
    pub node: Node,
    pub handle: EtcdHandle,
    pub etcd: Etcd,
    pub places: Places,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Lab {
    pub fn new(program: PathBuf, version: Version) -> Self {
        // Several tests run at once, in several processes.
        static NEXT: AtomicU8 = AtomicU8::new(0);
        let own = NEXT.fetch_add(1, Ordering::SeqCst);
        let network = format!("127.{}.{own}.", 64 + std::process::id() % 128);
        let ports = Ports {
            client: free_port(&format!("{network}1")),
            peer: free_port(&format!("{network}1")),
        };
        let children = Children::new();
        tokio::spawn(children.clone().reap_forever());
        Self {
            program,
            version,
            children,
            snapshots: EtcdSnapshots {
                keep: 0,
                ..EtcdSnapshots::default()
            },
            secrets: KubernetesSecrets::generate("home", SystemTime::now()).unwrap(),
            ports,
            network,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub fn address(&self, host: u8) -> IpAddr {
        format!("{}{host}", self.network).parse().unwrap()
    }

    /// Returns where the disk of a node is.
    pub fn places(&self, disk: &str) -> Places {
        Places::below(&self.folder.path().join(disk))
    }

    /// Erases DATA of a disk, as somebody who puts in a fresh card.
    pub fn wipe(&self, disk: &str) {
        let places = self.places(disk);
        for folder in [&places.data, &places.beside] {
            let _ = fs::remove_dir_all(folder);
        }
    }

    pub fn credentials(&self) -> Credentials {
        let issued = self.issue("bedplate:test", &[], false);
        Credentials::new(
            self.secrets.etcd.certificate_pem(),
            &issued.pem,
            &issued.key.to_pem(),
        )
        .unwrap()
    }

    /// Returns a client of the etcd at an address.
    pub fn etcd(&self, host: u8) -> Etcd {
        Etcd::connect(
            &self.credentials(),
            SocketAddr::new(self.address(host), self.ports.client),
        )
    }

    fn issue(&self, name: &str, names: &[String], server: bool) -> Issued {
        let subject = Subject {
            name,
            organization: None,
            alternative_names: names,
            purposes: Purposes { client: true, server },
        };
        let validity = Validity::starting(SystemTime::now(), SERVER_LIFE);
        self.secrets.etcd.issue_for(&subject, validity).unwrap()
    }

    /// Starts a control plane on a disk, at an address, that knows these others. It asks for others behind the address 1, too.
    pub fn start(&self, name: &str, disk: &str, host: u8, others: &[(&str, u8)]) -> Plane {
        let node = Node::new(ReleaseFile::default());
        let places = self.places(disk);
        let _ = fs::remove_dir_all(&places.run);
        for folder in [&places.state, &places.run] {
            fs::create_dir_all(folder).unwrap();
        }
        self.describe(&node.store, name, host, others);
        let restorer = Restorer::new(self.children.clone(), program::tool(&self.program));
        let handle = EtcdHandle::new(&node, places.clone(), self.ports, restorer);
        let stop = CancellationToken::new();
        let mut runtime = Runtime::new(node.store.clone());
        runtime
            .add(handle.controller())
            .add(handle.disk_controller())
            .add(handle.snapshots_controller(Duration::ZERO));
        let running = tokio::spawn(runtime.run(stop.clone()));
        let recipe = Recipe {
            program: self.program.clone(),
            version: self.version,
            name: name.to_owned(),
            host,
            network: self.network.clone(),
            ports: self.ports,
            health: free_port("127.0.0.1"),
            folder: self.folder.path().join(disk),
        };
        recipe.write_certificates(&self.secrets, |identity, names| {
            self.issue(&identity.name, names, identity.server)
        });
        let services = tokio::spawn(services::run(recipe, node.store.clone(), stop.clone()));
        Plane {
            name: name.to_owned(),
            node,
            handle,
            etcd: self.etcd(host),
            places,
            stop,
            tasks: vec![running, services],
        }
    }

    /// Puts into the store what other controllers of a node would.
    fn describe(&self, store: &Store, name: &str, host: u8, others: &[(&str, u8)]) {
        let pair = |authority: &Authority| CertificateAuthority {
            cert: authority.certificate_pem().parse().unwrap(),
            key: Some(Secret::new(authority.key_pem().as_str())),
        };
        let mut config = state::testkit::config();
        config.machine.role = Role::ControlPlane;
        config.cluster.etcd.snapshots = self.snapshots.clone();
        config.cluster.id = Some("home-id".parse().unwrap());
        config.cluster.secrets = Some(ClusterSecrets {
            etcd_ca: pair(&self.secrets.etcd),
            front_proxy_ca: pair(&self.secrets.front_proxy),
            service_account_key: Secret::new(self.secrets.service_account.to_pem().as_str()),
            encryption_key: Secret::new(self.secrets.encryption.to_base64().as_str()),
        });
        store.put("config", NODE, config).unwrap();
        let endpoint = format!("https://{}:6443", self.address(1));
        let member = ClusterMember {
            cluster: "home".into(),
            node: name.into(),
            control_plane: true,
            addresses: vec![self.address(host)],
            endpoint: endpoint.clone(),
            api: endpoint,
            pods: Vec::new(),
            services: Vec::new(),
            dns: Vec::new(),
            domain: "cluster.local".into(),
            kubernetes: "1.36.2".into(),
            etcd: Some(self.version.to_string()),
        };
        store.put("cluster-member", NODE, member).unwrap();
        for (other, host) in others {
            let peer = ClusterPeer {
                node: (*other).into(),
                control_plane: true,
                addresses: vec![self.address(*host)],
            };
            store.put("test", other, peer).unwrap();
        }
        let ready = VolumeStatus {
            target: "/var".into(),
            device: None,
            size: 0,
            state: VolumeState::Ready {
                formatted: false,
                repaired: false,
            },
        };
        store.put("storage", Volume::Data.partition(), ready).unwrap();
        let issued = self.issue(&format!("bedplate:node:{name}"), &[], false);
        let certificate = ComponentCertificate {
            certificate: issued.pem.clone(),
            key: Secret::new(issued.key.to_pem().as_str()),
            names: Vec::new(),
            not_before: 0,
            not_after: u64::MAX,
        };
        store
            .put("cluster-certificates", "bedplate/etcd", certificate)
            .unwrap();
    }
}

/// Returns a port that nobody listens on at an address.
fn free_port(address: &str) -> u16 {
    let listener = TcpListener::bind((address, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

impl Plane {
    /// Returns how its etcd is to start.
    pub fn membership(&self) -> Option<EtcdMembership> {
        self.node.store.get(NODE)
    }

    /// Returns what it waits for.
    pub fn waits_for(&self) -> String {
        self.membership()
            .and_then(|membership| membership.waits_for)
            .unwrap_or_default()
    }

    /// Waits until something holds.
    pub async fn until(&self, what: &str, mut holds: impl AsyncFnMut(&Self) -> bool) {
        let begun = Instant::now();
        let mut told = String::new();
        while !holds(self).await {
            let waits_for = self.waits_for();
            if waits_for != told {
                eprintln!("{}: waits for {waits_for}", self.name);
                told = waits_for;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "{}: it is not so that {what}; it waits for {told}",
                self.name
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        eprintln!(
            "{}: {what} after {:.1} s",
            self.name,
            begun.elapsed().as_secs_f64()
        );
    }

    /// Waits until it is a voting member.
    pub async fn until_it_votes(&self) {
        self.until("it votes", async |plane| {
            let members = plane
                .etcd
                .members()
                .await
                .map(|answer| answer.value)
                .unwrap_or_default();
            votes(&members, &plane.name)
        })
        .await;
    }

    /// Cuts its power.
    pub async fn cut(self) {
        self.stop.cancel();
        for task in self.tasks {
            // What is aborted is dropped, and with it etcd is killed.
            task.abort();
            let _ = task.await;
        }
    }
}

/// Tells whether a member of that name votes.
pub fn votes(members: &[Member], name: &str) -> bool {
    members
        .iter()
        .any(|member| member.name == name && !member.is_learner)
}
