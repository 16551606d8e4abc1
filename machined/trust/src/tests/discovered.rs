//! Joining by what is found on the local network: nodes in namespaces of their own, on one bridge, with the real kernel.

use std::process::Command;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, SystemTime};

use discovery::Discovery;
use machine_config::MachineConfig;
use network::NetworkFiles;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Pid, gettid};
use node::events::Events;
use pki::{NodeClock, Secrets};
use state::kinds::{AddressStatus, ComponentCertificate, JoinStatus, NODE};
use state::{Resource, Runtime, Store};
use sys::clock::LinuxClock;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::bench::{config, member};
use crate::PORT;
use crate::answer::Signer;
use crate::join::{Folder, JoinController};
use crate::ledger::FileLedger;
use crate::living::Unknown;
use crate::serve::Door;

const PATIENCE: Duration = Duration::from_secs(60);

fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {arguments}: {errors}");
}

/// A node on a thread and in a namespace of its own, with the controllers of its network. It stops when this is dropped.
struct Node {
    store: Store,
    events: Events,
    stop: CancellationToken,
    thread: Option<thread::JoinHandle<()>>,
}

impl Node {
    fn start(mut config: MachineConfig, name: &str, last: u8) -> Self {
        let address = format!("10.89.32.{last}");
        let interfaces = format!("{{name: eth0, addresses: [{address}/24]}}");
        config.cluster.subnets.clear();
        let mut text = config.to_yaml_with_secrets();
        let network = format!("machine:\n  network: {{interfaces: [{interfaces}]}}\n");
        text = text.replacen("machine:\n", &network, 1);
        config = machine_config::parse(&text).unwrap();
        let control_plane = config.machine.ca.key.is_some();
        let (store, events, stop) = (Store::new(), Events::new(), CancellationToken::new());
        store.put("config", NODE, config).unwrap();
        store
            .put("member", NODE, member(name, &address, control_plane))
            .unwrap();
        let (told, number) = mpsc::channel();
        let (go, wait) = oneshot::channel::<()>();
        let inside = (store.clone(), events.clone(), stop.clone());
        let thread = thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWUTS).unwrap();
            told.send(gettid()).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                wait.await.unwrap();
                let (store, events, stop) = inside;
                live(store, events, stop, control_plane).await;
            });
        });
        let pid: Pid = number.recv().unwrap();
        ip(&format!(
            "link add port{last} type veth peer name eth0 netns {pid}"
        ));
        ip(&format!("link set port{last} master bridge up"));
        go.send(()).unwrap();
        Self {
            store,
            events,
            stop,
            thread: Some(thread),
        }
    }

    async fn until<R: Resource + std::fmt::Debug>(&self, what: &str, good: impl Fn(&[(String, R)]) -> bool) {
        let mut watch = self.store.watch(&[R::KIND]);
        let wait = async {
            while !good(&self.store.list::<R>()) {
                watch.changed().await;
            }
        };
        if tokio::time::timeout(PATIENCE, wait).await.is_err() {
            let status = self.store.get::<JoinStatus>(NODE);
            panic!("{what}: there is {:?}; {status:?}", self.store.list::<R>());
        }
    }

    async fn waits_for(&self, what: &str) {
        let says = |found: &[(String, JoinStatus)]| {
            let said = found.first().and_then(|(_, status)| status.waits_for.as_deref());
            said.is_some_and(|said| said.contains(what))
        };
        self.until(what, says).await;
    }

    async fn joins(&self) {
        let has = |found: &[(String, ComponentCertificate)]| {
            found.iter().any(|(name, _)| name == "kubelet/kubelet-client")
        };
        self.until("certificates", has).await;
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            assert!(thread.join().is_ok() || thread::panicking());
        }
    }
}

/// Runs a node: a control plane that signs, or a worker that joins.
async fn live(store: Store, events: Events, stop: CancellationToken, control_plane: bool) {
    let folder = TempDir::new().unwrap();
    let files = NetworkFiles {
        resolv_conf: folder.path().join("resolv.conf"),
        hosts: folder.path().join("hosts"),
        machine_id: folder.path().join("machine-id"),
    };
    let clock = Arc::new(NodeClock::trusting());
    let mut runtime = Runtime::new(store.clone());
    network::add_controllers(&mut runtime, files).unwrap();
    runtime.add(Discovery::default());
    if !control_plane {
        let kept = Folder::new(folder.path().join("joined"));
        runtime.add(JoinController::new(kept, clock, Box::new(LinuxClock), events));
        return runtime.run(stop).await;
    }
    tokio::spawn(runtime.run(stop.clone()));
    let mut watch = store.watch(&[AddressStatus::KIND]);
    while !store.list::<AddressStatus>().iter().any(|(_, found)| found.ours) {
        watch.changed().await;
    }
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await.unwrap();
    let ledger = Arc::new(FileLedger::new(folder.path().join("nodes.json")));
    let signer = Signer::new(ledger, Arc::new(Unknown), clock.clone(), events);
    let door = Door { store, signer, clock };
    door.run(move || Ok(listener), stop).await.unwrap();
}

/// The endpoint that a worker's config names is of no use in either case: nobody is there, or nothing has that name.
const ENDPOINTS: [&str; 2] = ["https://10.89.32.77:6443", "https://gone.invalid:6443"];

async fn exercise() {
    let [secrets, others] = [(); 2].map(|()| Secrets::generate(SystemTime::now()).unwrap());
    let worker = |number: usize| {
        let name = format!("worker{number}");
        let mut config = config(&secrets, "worker", &secrets.token, &name);
        config.cluster.endpoint = ENDPOINTS[number].parse().ok();
        Node::start(config, &name, 10 + u8::try_from(number).unwrap())
    };
    let plane = |secrets: &Secrets, name: &str, last| {
        Node::start(config(secrets, "controlPlane", &secrets.token, name), name, last)
    };
    // It says that it is of the same cluster, and cannot prove it.
    let impostor = plane(&others, "impostor", 9);
    let first = worker(0);
    first
        .waits_for("10.89.32.9 is not accepted as a control plane of this cluster")
        .await;
    let real = plane(&secrets, "plane1", 1);
    first.joins().await;
    worker(1).joins().await;
    let status: JoinStatus = first.store.get(NODE).unwrap();
    assert_eq!(status.control_plane.as_deref(), Some("10.89.32.1"));
    let said = |node: &Node| {
        let mut reader = node.events.follow(None);
        std::iter::from_fn(move || reader.try_next().map(|read| read.item.message)).collect::<Vec<_>>()
    };
    assert_eq!(said(&impostor), [""; 0], "nobody gave it a token");
    let signed = said(&real)
        .iter()
        .filter(|said| said.contains("signed 5 certificates"))
        .count();
    assert_eq!(signed, 2);
}

#[test]
fn a_worker_whose_endpoint_is_down_joins_by_a_control_plane_on_its_network() {
    if !nix::unistd::geteuid().is_root() || Command::new("ip").arg("-V").output().is_err() {
        eprintln!("skipped: it needs root and ip");
        return;
    }
    let run = || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        ip("link add bridge type bridge mcast_snooping 0");
        ip("link set bridge up");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(exercise());
    };
    thread::spawn(run).join().unwrap();
}
