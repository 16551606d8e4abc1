//! A control plane, and workers with a disk each, on the loopback interface.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use machine_config::MachineConfig;
use node::events::Events;
use pki::{Authority, NodeClock, Secrets};
use state::kinds::{
    ClusterMember, ComponentCertificate, HostNameStatus, JoinStatus, NODE, NameSource, NetworkStatus,
};
use state::{Controller as _, Store};
use sys::clock::LinuxClock;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::answer::Signer;
use crate::join::{Folder, JoinController};
use crate::ledger::FileLedger;
use crate::living::{Living, Unknown};
use crate::serve::Door;

/// A cluster with one control plane that signs.
pub(super) struct Home {
    pub(super) secrets: Secrets,
    pub(super) store: Store,
    pub(super) events: Events,
    pub(super) address: SocketAddr,
    _folder: tempfile::TempDir,
    _stop: DropGuard,
}

pub(super) fn quoted(pem: &str) -> String {
    format!("{pem:?}")
}

pub(super) fn pair(authority: &Authority, key: bool) -> String {
    let cert = quoted(authority.certificate_pem());
    match key {
        true => format!("{{cert: {cert}, key: {}}}", quoted(&authority.key_pem())),
        false => format!("{{cert: {cert}}}"),
    }
}

pub(crate) fn config(secrets: &Secrets, role: &str, token: &str, hostname: &str) -> MachineConfig {
    let kubernetes = secrets.kubernetes.as_ref().unwrap();
    let plane = role == "controlPlane";
    let more = match plane {
        false => String::new(),
        true => format!(
            "  secrets: {{etcdCA: {}, frontProxyCA: {}, serviceAccountKey: {}, encryptionKey: {}}}\n",
            pair(&kubernetes.etcd, true),
            pair(&kubernetes.front_proxy, true),
            quoted(&kubernetes.service_account.to_pem()),
            kubernetes.encryption.to_base64().as_str(),
        ),
    };
    let text = format!(
        "apiVersion: bedplate.dev/v1alpha1\nkind: MachineConfig\nmachine:\n  role: {role}\n  hostname: {hostname}\n  ca: {}\n  \
         token: {token}\ncluster:\n  name: home\n  id: abc\n  endpoint: https://127.0.0.1:6443\n  subnets: [192.0.2.0/24]\n  ca: {}\n{more}",
        pair(&secrets.authority, plane),
        pair(&kubernetes.authority, plane),
    );
    machine_config::parse(&text).unwrap()
}

pub(super) fn member(node: &str, address: &str, control_plane: bool) -> ClusterMember {
    ClusterMember {
        cluster: "home".to_owned(),
        node: node.to_owned(),
        control_plane,
        addresses: vec![address.parse().unwrap()],
        endpoint: "https://127.0.0.1:6443".to_owned(),
        api: "https://127.0.0.1:6443".to_owned(),
        pods: Vec::new(),
        services: Vec::new(),
        dns: Vec::new(),
        domain: "cluster.local".to_owned(),
        kubernetes: "1.20.2".to_owned(),
        etcd: None,
    }
}

pub(super) fn tell(store: &Store, config: MachineConfig, node: &str, address: &str) {
    let control_plane = config.machine.ca.key.is_some();
    store.put("config", NODE, config).unwrap();
    store
        .put("member", NODE, member(node, address, control_plane))
        .unwrap();
    let name = HostNameStatus {
        name: node.parse().unwrap(),
        source: NameSource::Config,
    };
    store.put("name", NODE, name).unwrap();
    let network = NetworkStatus {
        addresses: vec![address.parse().unwrap()],
        ..NetworkStatus::default()
    };
    store.put("network", NODE, network).unwrap();
}

impl Home {
    pub(super) async fn start() -> Self {
        Self::start_with(Arc::new(Unknown)).await
    }

    /// Starts one that knows which nodes are there.
    pub(super) async fn start_with(living: Arc<dyn Living>) -> Self {
        let secrets = Secrets::generate(SystemTime::now()).unwrap();
        let (store, events, stop) = (Store::new(), Events::new(), CancellationToken::new());
        let folder = tempfile::tempdir().unwrap();
        tell(
            &store,
            config(&secrets, "controlPlane", &secrets.token, "plane1"),
            "plane1",
            "192.0.2.1",
        );
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let clock = Arc::new(NodeClock::trusting());
        let ledger = FileLedger::new(folder.path().join("nodes.json"));
        let signer = Signer::new(Arc::new(ledger), living, clock.clone(), events.clone());
        let door = Door {
            store: store.clone(),
            signer,
            clock,
        };
        tokio::spawn(door.run(move || Ok(listener), stop.clone()));
        Self {
            secrets,
            store,
            events,
            address,
            _folder: folder,
            _stop: stop.drop_guard(),
        }
    }

    pub(super) fn said(&self) -> String {
        let mut reader = self.events.follow(None);
        let mut all = Vec::new();
        while let Some(read) = reader.try_next() {
            all.push(read.item.message);
        }
        all.join("\n")
    }
}

/// A worker, with a disk.
pub(super) struct Worker {
    pub(super) store: Store,
    pub(super) controller: JoinController,
}

impl Worker {
    pub(super) fn new(home: &Home, name: &str, address: &str, token: &str, disk: &Path) -> Self {
        Self::with_clock(home, name, address, token, disk, NodeClock::trusting())
    }

    pub(super) fn with_clock(
        home: &Home,
        name: &str,
        address: &str,
        token: &str,
        disk: &Path,
        clock: NodeClock,
    ) -> Self {
        let store = Store::new();
        tell(
            &store,
            config(&home.secrets, "worker", token, name),
            name,
            address,
        );
        let folder = Folder::new(disk.to_owned());
        let controller = JoinController::new(folder, Arc::new(clock), Box::new(LinuxClock), Events::new());
        Self {
            store,
            controller: controller.on_port(home.address.port()),
        }
    }

    /// Runs the controller once, and returns what it waits for.
    pub(super) async fn run(&mut self) -> Option<String> {
        self.controller.reconcile(&self.store).await.unwrap();
        self.store.get::<JoinStatus>(NODE).unwrap().waits_for
    }

    pub(super) fn certificate(&self, which: &str) -> Option<ComponentCertificate> {
        self.store.get(which)
    }

    pub(super) fn count(&self) -> usize {
        self.store.list::<ComponentCertificate>().len()
    }
}
