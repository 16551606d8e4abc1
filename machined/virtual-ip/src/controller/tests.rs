//! Two nodes and a client on one switch, each in a namespace of its own, with a real etcd: who has the address answers for it.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd as _;
use std::sync::mpsc;

use futures::TryStreamExt as _;
use network::NetworkFiles;
use nix::sched::{CloneFlags, unshare};
use rtnetlink::{Handle, LinkBridge, LinkUnspec, LinkVeth};
use state::Runtime;
use state::kinds::BalancedServer;
use sys::announce::LinuxAnnouncer;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::election::tests::RealEtcd;

const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 5);
/// Where the nodes tell who they are.
const PORT: u16 = 9000;
/// The host may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

fn member(number: u8) -> ClusterMember {
    ClusterMember {
        cluster: "home".to_owned(),
        node: format!("node{number}"),
        control_plane: true,
        addresses: vec![own(number)],
        endpoint: format!("https://{ADDRESS}:6443"),
        api: "https://127.0.0.1:7445".to_owned(),
        pods: Vec::new(),
        services: Vec::new(),
        dns: Vec::new(),
        domain: "cluster.local".to_owned(),
        kubernetes: "1.20.2".to_owned(),
        etcd: None,
    }
}

fn own(number: u8) -> IpAddr {
    Ipv4Addr::new(10, 9, 0, 10 + number).into()
}

fn config(number: u8) -> MachineConfig {
    let mut config = state::testkit::config();
    config.cluster.virtual_ip = Some(ADDRESS.into());
    config.machine.network.interfaces = vec![machine_config::v1alpha1::Interface {
        name: Some("v0".parse().unwrap()),
        addresses: vec![format!("{}/24", own(number)).parse().unwrap()],
        ..Default::default()
    }];
    config
}

fn health(number: u8, health: ServerHealth) -> ApiBalancerStatus {
    ApiBalancerStatus {
        listens: String::new(),
        servers: vec![BalancedServer {
            address: format!("{}:6443", own(number)),
            health,
        }],
    }
}

fn service(state: ServiceState) -> ServiceStatus {
    ServiceStatus {
        state,
        health: state::kinds::ServiceHealth::Healthy,
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

#[test]
fn an_address_belongs_to_the_interface_in_whose_network_it_is() {
    let status = |link: &str, address: &str| AddressStatus {
        link: link.to_owned(),
        address: address.parse().unwrap(),
        ours: true,
    };
    let link = |index| LinkStatus {
        index,
        mac_address: Some(MacAddress([2, 0, 0, 0, 0, 1])),
        mtu: 1500,
        max_mtu: None,
        refused_mtu: None,
        up: true,
        carrier: true,
        kind: state::kinds::LinkKind::Ethernet,
        ipv6: None,
    };
    let links = [("eth0".to_owned(), link(2)), ("eth1".to_owned(), link(3))];
    let managed = ["eth0", "eth1"].map(str::to_owned);
    let found = |addresses: &[AddressStatus]| {
        place(ADDRESS.into(), &member(1), addresses, &managed, &links).map(|place| place.link)
    };
    let second = status("eth1", "10.9.0.11/24");
    assert_eq!(
        found(&[status("eth0", "10.9.0.77/24"), second.clone()]).as_deref(),
        Some("eth1")
    );
    assert_eq!(found(&[status("eth0", "192.168.1.7/24")]), None);
    assert_eq!(found(&[status("cni0", "10.9.0.1/24")]), None, "nobody manages it");
    assert_eq!(
        found(&[status("eth0", "10.9.0.5/32")]),
        None,
        "it is no reason for itself"
    );
}

/// A node: its controllers run in a namespace of its own, and it tells its number to who connects.
struct Node {
    store: Store,
    power: Power,
    thread: Option<std::thread::JoinHandle<()>>,
    stop: Arc<Notify>,
}

impl Node {
    /// Starts one, plugged into a bridge of the caller's namespace.
    async fn start(number: u8, switch: &Handle, bridge: u32, etcd: &RealEtcd) -> Self {
        let (store, power, stop) = (Store::new(), Power::new(), Arc::new(Notify::new()));
        let (sender, namespace) = mpsc::channel();
        let (plugged, plug) = mpsc::channel::<()>();
        let node = (store.clone(), power.clone(), stop.clone());
        let (credentials, at) = (etcd.credentials.clone(), etcd.at);
        let thread = std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWUTS).unwrap();
            sender
                .send(File::open("/proc/thread-self/ns/net").unwrap())
                .unwrap();
            plug.recv().unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let (store, power, stop) = node;
            runtime.block_on(async move {
                let dir = TempDir::new().unwrap();
                let files = NetworkFiles {
                    resolv_conf: dir.path().join("resolv.conf"),
                    hosts: dir.path().join("hosts"),
                    machine_id: dir.path().join("machine-id"),
                };
                let connect = move |_: &Store, address| -> Result<Box<dyn Election>, Error> {
                    let etcd = etcd_client::Etcd::connect(&credentials, at);
                    Ok(Box::new(EtcdElection::at(etcd, address)))
                };
                store.put("config", NODE, config(number)).unwrap();
                store.put("member", NODE, member(number)).unwrap();
                store
                    .put("balancer", NODE, health(number, ServerHealth::Ready))
                    .unwrap();
                let mut controllers = Runtime::new(store);
                network::add_controllers(&mut controllers, files).unwrap();
                controllers.add(VirtualIp::with(
                    Box::new(connect),
                    Box::new(LinuxAnnouncer),
                    power,
                ));
                let token = tokio_util::sync::CancellationToken::new();
                let running = tokio::spawn(controllers.run(token.clone()));
                let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).await.unwrap();
                loop {
                    tokio::select! {
                        accepted = listener.accept() => {
                            let _gone = accepted.unwrap().0.write_all(&[number]).await;
                        }
                        () = stop.notified() => break,
                    }
                }
                token.cancel();
                running.await.unwrap();
            });
        });
        let namespace = namespace.recv().unwrap();
        let (inner, outer) = (format!("n{number}"), format!("p{number}"));
        let veth = LinkVeth::new(&inner, &outer).build();
        switch.link().add(veth).execute().await.unwrap();
        let (inner, outer) = (index(switch, &inner).await, index(switch, &outer).await);
        let port = rtnetlink::LinkMessageBuilder::<LinkUnspec>::new()
            .index(outer)
            .controller(bridge)
            .up();
        switch.link().set(port.build()).execute().await.unwrap();
        let moved = rtnetlink::LinkMessageBuilder::<LinkUnspec>::new()
            .index(inner)
            .name("v0".to_owned())
            .setns_by_fd(namespace.as_raw_fd());
        switch.link().set(moved.build()).execute().await.unwrap();
        plugged.send(()).unwrap();
        Self {
            store,
            power,
            thread: Some(thread),
            stop,
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

async fn index(handle: &Handle, name: &str) -> u32 {
    let mut found = handle.link().get().match_name(name.to_owned()).execute();
    found.try_next().await.unwrap().unwrap().header.index
}

/// Asks the virtual address who has it, until it is this node. Returns how long that took.
async fn until(number: u8) -> Duration {
    let started = Instant::now();
    loop {
        let asked = async {
            let mut connection = TcpStream::connect((ADDRESS, PORT)).await?;
            connection.read_u8().await
        };
        let answer = tokio::time::timeout(Duration::from_millis(500), asked).await;
        if matches!(answer, Ok(Ok(found)) if found == number) {
            return started.elapsed();
        }
        assert!(
            started.elapsed() < PATIENCE,
            "node {number} does not answer: {answer:?}"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn exercise() {
    let (connection, switch, _) = rtnetlink::new_connection().unwrap();
    tokio::spawn(connection);
    switch
        .link()
        .add(LinkBridge::new("br0").build())
        .execute()
        .await
        .unwrap();
    let bridge = index(&switch, "br0").await;
    let client: IpAddr = Ipv4Addr::new(10, 9, 0, 1).into();
    switch.address().add(bridge, client, 24).execute().await.unwrap();
    for link in [bridge, index(&switch, "lo").await] {
        let up = rtnetlink::LinkMessageBuilder::<LinkUnspec>::new()
            .index(link)
            .up();
        switch.link().set(up.build()).execute().await.unwrap();
    }
    let Some(etcd) = RealEtcd::start(SocketAddr::new(client, 2379)) else {
        return;
    };
    let first = Node::start(1, &switch, bridge, &etcd).await;
    let taken = until(1).await;
    let second = Node::start(2, &switch, bridge, &etcd).await;
    let told = async {
        while second
            .store
            .get::<VirtualIpStatus>(NODE)
            .and_then(|status| status.holder)
            .as_deref()
            != Some("node1")
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, told)
        .await
        .expect("the second node knows who has it");

    let reason = "etcd".to_owned();
    first
        .store
        .put("balancer", NODE, health(1, ServerHealth::NotReady { reason }))
        .unwrap();
    let unready = until(2).await;
    first
        .store
        .put("balancer", NODE, health(1, ServerHealth::Ready))
        .unwrap();

    second
        .store
        .put("services", "kube-apiserver", service(ServiceState::Stopping))
        .unwrap();
    let stopping = until(1).await;
    second
        .store
        .put("services", "kube-apiserver", service(ServiceState::Running))
        .unwrap();
    first
        .store
        .put("services", "kube-apiserver", service(ServiceState::Stopping))
        .unwrap();
    let stopped = until(2).await;
    first
        .store
        .put("services", "kube-apiserver", service(ServiceState::Running))
        .unwrap();

    second.power.request(node::power::Stop::Shutdown);
    let shutdown = until(1).await;
    drop(second);

    let third = Node::start(3, &switch, bridge, &etcd).await;
    let ready = async {
        while third
            .store
            .get::<VirtualIpStatus>(NODE)
            .is_none_or(|status| status.holder.is_none())
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ready)
        .await
        .expect("the third node knows who has it");
    let pulled = rtnetlink::LinkMessageBuilder::<LinkUnspec>::new()
        .index(index(&switch, "p1").await)
        .down();
    switch.link().set(pulled.build()).execute().await.unwrap();
    let cut_off = until(3).await;
    let gone = async {
        while first
            .store
            .get::<VirtualIpStatus>(NODE)
            .is_none_or(|status| status.here)
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone)
        .await
        .expect("who was cut off gave it up");
    eprintln!(
        "seconds until the address answers: first {taken:.1?}, not ready {unready:.1?}, API server stops {stopping:.1?} and {stopped:.1?}, shutdown {shutdown:.1?}, cable pulled {cut_off:.1?}"
    );
}

#[test]
fn the_address_moves_from_a_node_that_is_not_ready_stops_or_is_cut_off() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: only root can make a network namespace");
        return;
    }
    let run = || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(exercise());
    };
    std::thread::spawn(run).join().unwrap();
}
