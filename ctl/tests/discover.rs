//! Finding nodes: the real program, over a virtual cable, in namespaces of the test's own.

mod program;

use std::net::{Ipv4Addr, UdpSocket};
use std::process::Command;
use std::sync::mpsc;
use std::thread;

use announcement::{Announcement, ClusterTag, NodeRole, PORT, Packet, read};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Pid, gettid};
use program::Home;

fn ip(arguments: &str) {
    let output = Command::new("ip")
        .args(arguments.split(' '))
        .output()
        .expect("ip starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {arguments}: {errors}");
}

/// Answers for two nodes, with control characters for whoever shows them unread, until the program's question was answered.
fn answer() {
    ip("addr add 10.89.32.2/24 dev eth0");
    ip("link set eth0 up");
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT)).expect("the port is free");
    let (group, own) = (Ipv4Addr::new(224, 0, 0, 251), Ipv4Addr::new(10, 89, 32, 2));
    socket
        .join_multicast_v4(&group, &own)
        .expect("the group is joined");
    let mut packet = [0; 9000];
    let (length, from) = socket.recv_from(&mut packet).expect("a question");
    let Some(Packet::Query(query)) = read(&packet[..length]) else {
        panic!("it is not a question");
    };
    assert_ne!(from.port(), PORT);
    let nodes = [
        ("node1", NodeRole::ControlPlane, Some(ClusterTag::of(b"home")), 2),
        ("bedplate-12ab", NodeRole::Maintenance, None, 3),
    ];
    for (node, role, cluster, last) in nodes {
        let announcement = Announcement {
            label: node.to_owned(),
            node: node.parse().expect("it is a name"),
            cluster,
            role,
            port: 50000,
            addresses: vec![Ipv4Addr::new(10, 89, 32, last).into()],
        };
        let answer = announcement.reply(&query, true).expect("it is asked");
        socket.send_to(&answer, from).expect("the answer is sent");
        socket.send_to(b"no answer", from).expect("so is this");
    }
}

fn exercise() {
    unshare(CloneFlags::CLONE_NEWNET).expect("root can make a namespace");
    let home = Home::new();
    let alone = home.run(&["discover"]).failure();
    assert!(
        alone.err.contains("this computer is on no network"),
        "{}",
        alone.err
    );
    let (told, number) = mpsc::channel();
    let (go, wait) = mpsc::channel();
    let (ready, answering) = mpsc::channel();
    let other = thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("root can make a namespace");
        told.send(gettid()).expect("the test waits");
        for () in wait.iter().take(2) {
            ready.send(()).expect("the test waits");
            answer();
        }
    });
    let pid: Pid = number.recv().expect("it starts");
    ip(&format!("link add cable type veth peer name eth0 netns {pid}"));
    ip("addr add 10.89.32.1/24 dev cable");
    ip("link set cable up");
    let missing = home.run(&["discover", "--interface", "eth9"]).failure();
    assert!(
        missing.err.contains("interface eth9 does not exist"),
        "{}",
        missing.err
    );
    let empty = home.run(&["discover", "--wait", "300ms"]).success();
    assert!(empty.err.contains("no node answered"), "{}", empty.err);

    go.send(()).expect("it waits");
    answering.recv().expect("it goes on");
    let table = home.run(&["discover", "--interface", "cable"]).success();
    assert_eq!(
        table.out,
        "NODE           ROLE           ADDRESS     CLUSTER   INTERFACE\n\
         bedplate-12ab  maintenance    10.89.32.3  -         cable\n\
         node1          control-plane  10.89.32.2  ac3acd32  cable\n"
    );
    drop(go);
    other.join().expect("it answered");
}

#[test]
fn nodes_that_answer_are_listed() {
    if !nix::unistd::geteuid().is_root() || Command::new("ip").arg("-V").output().is_err() {
        eprintln!("skipped: it needs root and ip");
        return;
    }
    thread::spawn(exercise).join().expect("the exercise passes");
}
