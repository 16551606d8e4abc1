//! The real plugins, packet filter and kernel: a pod, its node and the world, each in a namespace of its own.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Pid, gettid};

use crate::conflist::conflist;
use crate::masquerade::ruleset;

const PLUGIN: &str = "/usr/lib/cni/bridge";
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs a program in the namespace of this thread, and returns what it printed.
fn run(command: &mut Command, input: &str) -> String {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {text}{errors}");
    text
}

fn ip(arguments: &str) {
    run(Command::new("ip").args(arguments.split(' ')), "");
}

/// Makes the namespace of another host or pod on a thread of its own, which waits for a word before it does its part.
fn namespace<T: Send + 'static>(part: impl FnOnce() -> T + Send + 'static) -> (Pid, Sender<()>, Receiver<T>) {
    let (told, number) = channel();
    let (go, wait) = channel();
    let (done, result) = channel();
    thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        told.send(gettid()).unwrap();
        if wait.recv().is_ok() {
            let _nobody_waits = done.send(part());
        }
    });
    (number.recv().unwrap(), go, result)
}

/// Tells everybody who connects under which address: from the world, and from where another node's pods are.
fn world() {
    for command in [
        "link set lo up",
        "addr add 192.0.2.2/24 dev w1",
        "link set w1 up",
        "addr add 10.244.2.9/24 dev lo",
        "route add 10.244.1.0/24 via 192.0.2.1",
    ] {
        ip(command);
    }
    let listener = TcpListener::bind("0.0.0.0:9000").unwrap();
    for _ in 0..2 {
        let (mut connection, from) = listener.accept().unwrap();
        connection.write_all(from.ip().to_string().as_bytes()).unwrap();
    }
}

/// Returns under which address a server sees this namespace.
fn seen_by(server: &str) -> String {
    let started = Instant::now();
    loop {
        let mut seen = String::new();
        match TcpStream::connect_timeout(&server.parse().unwrap(), Duration::from_secs(2)) {
            Ok(mut connection) => {
                connection.read_to_string(&mut seen).unwrap();
                return seen;
            }
            Err(error) => assert!(started.elapsed() < PATIENCE, "{server}: {error}"),
        }
        thread::sleep(Duration::from_millis(50));
    }
}

fn exercise() {
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    let (world, go_world, _) = namespace(world);
    let (pod, go_pod, seen) = namespace(|| [seen_by("192.0.2.2:9000"), seen_by("10.244.2.9:9000")]);
    ip("link set lo up");
    ip(&format!("link add w0 type veth peer name w1 netns {world}"));
    ip("addr add 192.0.2.1/24 dev w0");
    ip("link set w0 up");
    // What `network-links` makes of the contribution.
    ip("route add 10.244.2.0/24 via 192.0.2.2");
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();

    let leases = tempfile::tempdir().unwrap();
    let pods = ["10.244.1.0/24", "fd01:0:0:1::/64"].map(|text| text.parse().unwrap());
    let list: serde_json::Value = serde_json::from_str(&conflist(&pods, Some(1400))).unwrap();
    let mut plugin = list["plugins"][0].clone();
    plugin["cniVersion"] = list["cniVersion"].clone();
    plugin["name"] = list["name"].clone();
    plugin["ipam"]["dataDir"] = leases.path().to_str().unwrap().into();
    let added = run(
        Command::new(PLUGIN)
            .env("CNI_COMMAND", "ADD")
            .env("CNI_CONTAINERID", "pod1")
            .env("CNI_IFNAME", "eth0")
            .env("CNI_PATH", "/usr/lib/cni")
            .env("CNI_NETNS", format!("/proc/{pod}/ns/net")),
        &plugin.to_string(),
    );
    assert!(
        added.contains("10.244.1.2/24") && added.contains("fd01:0:0:1::2/64"),
        "{added}"
    );
    let rules = ruleset(
        &["10.244.0.0/16", "fd01::/48"].map(|text| text.parse().unwrap()),
        &[],
    );
    // Twice: they are put in force again and again.
    for _ in 0..2 {
        run(Command::new("nft").args(["-f", "-"]), &rules);
    }
    go_world.send(()).unwrap();
    go_pod.send(()).unwrap();
    let [by_the_world, by_a_pod] = seen.recv_timeout(PATIENCE * 3).unwrap();
    assert_eq!(
        (by_the_world.as_str(), by_a_pod.as_str()),
        ("192.0.2.1", "10.244.1.2")
    );
}

#[test]
fn a_pod_reaches_the_world_as_its_node_and_other_pods_as_itself() {
    let found = |program: &str| {
        ["/usr/sbin", "/sbin", "/usr/bin", "/bin"]
            .iter()
            .any(|folder| Path::new(folder).join(program).exists())
    };
    if !nix::unistd::geteuid().is_root() || !Path::new(PLUGIN).exists() || !found("nft") || !found("ip") {
        eprintln!("skipped: it needs root, ip, nft and the plugins in /usr/lib/cni");
        return;
    }
    thread::spawn(exercise).join().unwrap();
}

/// What kube-proxy 1.31 and later have for the node itself, with a service at another address.
const KUBE_PROXY: &str = "table ip kube-proxy {
  set cluster-ips { type ipv4_addr; elements = { 10.96.0.1 } }
  chain cluster-ips-check {
    ip daddr @cluster-ips reject
    ip daddr { 10.96.0.0/12 } drop
  }
  chain filter-input { type filter hook input priority filter; ct state new ip daddr 10.96.0.99 drop; }
  chain filter-output-post-dnat {
    type filter hook output priority -90; policy accept;
    ct state new jump cluster-ips-check
  }
}
";

/// Asks the server at an address by UDP and by TCP, and returns which answered.
fn answers(server: &str) -> [bool; 2] {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    let patience = Some(Duration::from_millis(500));
    socket.set_read_timeout(patience).unwrap();
    let asked = socket.send_to(b"question", server).is_ok();
    let by_udp = asked && socket.recv(&mut [0; 16]).is_ok();
    let by_tcp = TcpStream::connect_timeout(&server.parse().unwrap(), Duration::from_millis(500));
    [by_udp, by_tcp.is_ok()]
}

fn exercise_dns() {
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    for command in [
        "link set lo up",
        "addr add 10.96.0.10/32 dev lo",
        "link add cable type veth peer name other",
        "addr add 192.0.2.1/24 dev cable",
        "link set cable up",
    ] {
        ip(command);
    }
    let socket = std::net::UdpSocket::bind("10.96.0.10:53").unwrap();
    let _listener = TcpListener::bind("10.96.0.10:53").unwrap();
    thread::spawn(move || {
        while let Ok((_, from)) = socket.recv_from(&mut [0; 16]) {
            let _lost = socket.send_to(b"answer", from);
        }
    });
    assert_eq!(answers("10.96.0.10:53"), [true, true]);
    run(Command::new("nft").args(["-f", "-"]), KUBE_PROXY);
    assert_eq!(
        answers("10.96.0.10:53"),
        [false, false],
        "kube-proxy is in the way"
    );
    let rules = ruleset(&[], &["10.96.0.10", "fd02::a"].map(|text| text.parse().unwrap()));
    run(Command::new("nft").args(["-f", "-"]), &rules);
    assert_eq!(answers("10.96.0.10:53"), [true, true]);
}

#[test]
fn the_node_reaches_its_dns_past_kube_proxy() {
    let runs = |program: &str| Command::new(program).arg("-V").output().is_ok();
    if !nix::unistd::geteuid().is_root() || !runs("nft") || !runs("ip") {
        eprintln!("skipped: it needs root, ip and nft");
        return;
    }
    thread::spawn(exercise_dns).join().unwrap();
}
