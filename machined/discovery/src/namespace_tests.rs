//! The real kernel: nodes in namespaces of their own, on one bridge.

use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use announcement::{News, Packet, legacy_browse, read};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Pid, gettid};
use state::kinds::{
    AddressStatus, ClusterPeer, DiscoveryStatus, HostNameStatus, LinkKind, LinkSpec, LinkStatus, NODE,
    NameSource,
};
use state::{Resource, Runtime, Store};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::Discovery;
use crate::controller::tests::config;

const PATIENCE: Duration = Duration::from_secs(30);

fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {arguments}: {errors}");
}

/// A node on a thread and in a namespace of its own. It stops when this is dropped.
struct Node {
    store: Store,
    stop: CancellationToken,
    thread: Option<thread::JoinHandle<()>>,
}

impl Node {
    /// Starts a node whose interface is `port` of the bridge.
    fn start(name: &str, cluster: &str, last: u8) -> Self {
        let (store, stop) = (Store::new(), CancellationToken::new());
        let (told, number) = mpsc::channel();
        let (go, wait) = oneshot::channel::<()>();
        let inside = (
            store.clone(),
            stop.clone(),
            config(name, cluster),
            name.to_owned(),
        );
        let thread = thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            told.send(gettid()).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                wait.await.unwrap();
                let (store, stop, config, name) = inside;
                ip(&format!("addr add 10.89.32.{last}/24 dev eth0"));
                ip(&format!("addr add fd00:89::{last}/64 dev eth0 nodad"));
                ip("link set eth0 up");
                tell(&store, &name, last);
                store.put("config", NODE, config).unwrap();
                let mut runtime = Runtime::new(store);
                runtime.add(Discovery::default());
                runtime.run(stop).await;
                // The tasks that were dropped with it say goodbye.
                tokio::task::yield_now().await;
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
            stop,
            thread: Some(thread),
        }
    }

    /// Waits until a resource is as it should be.
    async fn until<R: Resource + std::fmt::Debug>(&self, what: &str, good: impl Fn(&[(String, R)]) -> bool) {
        let mut watch = self.store.watch(&[R::KIND]);
        let wait = async {
            while !good(&self.store.list::<R>()) {
                watch.changed().await;
            }
        };
        if tokio::time::timeout(PATIENCE, wait).await.is_err() {
            let failing = self.store.list::<state::ControllerStatus>();
            panic!("{what}: there is {:?}; {failing:#?}", self.store.list::<R>());
        }
    }

    async fn knows(&self, names: &[&str]) {
        let is = |found: &[(String, ClusterPeer)]| {
            let found: Vec<&str> = found.iter().map(|(id, _)| id.as_str()).collect();
            found == names
        };
        self.until(&format!("{names:?}"), is).await;
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || thread::panicking());
        }
    }
}

/// Tells a node about its interface, as the network does.
fn tell(store: &Store, name: &str, last: u8) {
    let index = std::fs::read_to_string("/proc/thread-self/net/dev_mcast").unwrap();
    let index = index.lines().find(|line| line.contains(" eth0 ")).unwrap();
    let index = index.split_whitespace().next().unwrap().parse().unwrap();
    let link = LinkStatus {
        index,
        mac_address: None,
        mtu: 1500,
        max_mtu: None,
        refused_mtu: None,
        up: true,
        carrier: true,
        kind: LinkKind::Virtual {
            driver: "veth".to_owned(),
        },
        ipv6: None,
    };
    store.put("links", "eth0", link).unwrap();
    store.put("specs", "eth0", LinkSpec::default()).unwrap();
    for address in [format!("10.89.32.{last}/24"), format!("fd00:89::{last}/64")] {
        let status = AddressStatus {
            link: "eth0".to_owned(),
            address: address.parse().unwrap(),
            ours: true,
        };
        store.put("links", &format!("eth0/{address}"), status).unwrap();
    }
    let status = HostNameStatus {
        name: name.parse().unwrap(),
        source: NameSource::Config,
    };
    store.put("hostname", NODE, status).unwrap();
}

/// Asks as the CLI does, and lists who answers within a second.
fn ask(group: &str) -> Vec<String> {
    let from: SocketAddr = match group.starts_with('[') {
        true => "[::]:0".parse().unwrap(),
        false => "10.89.32.254:0".parse().unwrap(),
    };
    let socket = UdpSocket::bind(from).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    socket.send_to(&legacy_browse(7).unwrap(), group).unwrap();
    let mut found = Vec::new();
    let mut packet = [0; 9000];
    while let Ok(length) = socket.recv(&mut packet) {
        let Some(Packet::Response(response)) = read(&packet[..length]) else {
            panic!("it is not an answer");
        };
        found.extend(response.news().into_iter().map(|news| match news {
            News::Here { announcement, .. } => announcement.node.to_string(),
            News::Gone { label } => panic!("{label} is gone"),
        }));
    }
    found.sort();
    found
}

async fn exercise() {
    let one = Node::start("node1", "home", 1);
    let two = Node::start("node2", "home", 2);
    let stranger = Node::start("node3", "elsewhere", 3);
    one.knows(&["mdns/node2"]).await;
    two.knows(&["mdns/node1"]).await;
    let is_named = |found: &[(String, DiscoveryStatus)]| {
        let name = found.first().and_then(|(_, status)| status.names.get("eth0"));
        name.is_some_and(|name| name == "node3.local")
    };
    stranger.until("a name", is_named).await;
    stranger.knows(&[]).await;
    let found: Vec<ClusterPeer> = one.store.list().into_iter().map(|(_, peer)| peer).collect();
    let addresses: Vec<String> = found[0].addresses.iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["10.89.32.2", "fd00:89::2"]);

    for group in ["224.0.0.251:5353", "[ff02::fb%bridge]:5353"] {
        let group = group.replace("%bridge", &format!("%{}", bridge_index()));
        assert_eq!(ask(&group), ["node1", "node2", "node3"], "{group}");
    }

    drop(two);
    one.knows(&[]).await;
    let again = Node::start("node1", "home", 4);
    let has_another = |found: &[(String, DiscoveryStatus)]| {
        let name = found.first().and_then(|(_, status)| status.names.get("eth0"));
        name.is_some_and(|name| name == "node1-2.local")
    };
    again.until("another name", has_another).await;
    let mut off = config("node1", "home");
    off.cluster.discovery.mdns = false;
    one.store.put("config", NODE, off).unwrap();
    one.until::<DiscoveryStatus>("switched off", <[_]>::is_empty)
        .await;
}

fn bridge_index() -> u32 {
    let text = std::fs::read_to_string("/sys/class/net/bridge/ifindex");
    // The /sys of the host shows the host's; the list of groups is the thread's own.
    let own = std::fs::read_to_string("/proc/thread-self/net/dev_mcast").unwrap();
    let line = own.lines().find(|line| line.contains(" bridge "));
    line.and_then(|line| line.split_whitespace().next())
        .map_or(text.unwrap_or_default(), str::to_owned)
        .trim()
        .parse()
        .unwrap()
}

#[test]
fn nodes_on_one_bridge_find_those_of_their_cluster() {
    if !nix::unistd::geteuid().is_root() || Command::new("ip").arg("-V").output().is_err() {
        eprintln!("skipped: it needs root and ip");
        return;
    }
    let run = || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        ip("link set lo up");
        ip("link add bridge type bridge mcast_snooping 0");
        ip("addr add 10.89.32.254/24 dev bridge");
        ip("link set bridge up");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(exercise());
    };
    thread::spawn(run).join().unwrap();
}
