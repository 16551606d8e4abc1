use std::collections::BTreeMap;

use super::*;
use crate::mesh::update::update;

/// A message as the kernel reads it: attributes by their numbers, those within others in order.
fn attributes(mut bytes: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let mut found = Vec::new();
    while bytes.len() >= 4 {
        let number = |at: usize| u16::from_ne_bytes([bytes[at], bytes[at + 1]]);
        let (length, kind) = (usize::from(number(0)), number(2));
        // The bit that says that there are others within.
        found.push((kind & 0x3fff, bytes[4..length].to_vec()));
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

fn within(bytes: &[u8], kind: u16) -> Vec<u8> {
    let all = attributes(bytes);
    all.into_iter()
        .find(|(found, _)| *found == kind)
        .expect("it is there")
        .1
}

/// Numbers as in the kernel's `include/uapi/linux/wireguard.h`.
#[test]
fn messages_are_what_the_kernel_reads() {
    let peer = Peer {
        key: Key([7; 32]),
        endpoint: "10.9.9.9:51820".parse().unwrap(),
        allowed: ["10.244.3.0/24", "fd01:0:0:3::/64"]
            .map(|text| text.parse().unwrap())
            .to_vec(),
        far: true,
    };
    let told = Update {
        all: true,
        set: vec![peer],
        gone: vec![Key([9; 32])],
    };
    let messages = messages(&[1; 32], &told);
    assert_eq!(messages.len(), 1);
    let bytes = packet(messages.into_iter().next().unwrap(), 33);
    let length = u32::from_ne_bytes(bytes[..4].try_into().unwrap());
    assert_eq!(length as usize, bytes.len());
    assert_eq!(
        bytes[4..8],
        [33, 0, 5, 0],
        "the family; a request that is to be acknowledged"
    );
    assert_eq!(bytes[16..18], [1, 1], "WG_CMD_SET_DEVICE, version 1");
    let device = &bytes[20..];
    let numbers: Vec<u16> = attributes(device).iter().map(|(kind, _)| *kind).collect();
    assert_eq!(numbers, [2, 3, 6, 5, 8]);
    assert_eq!(within(device, 2), b"wg-mesh\0");
    assert_eq!(within(device, 3), [1; 32]);
    assert_eq!(within(device, 6), 51820_u16.to_ne_bytes());
    assert_eq!(within(device, 5), 1_u32.to_ne_bytes(), "WGDEVICE_F_REPLACE_PEERS");
    let peers = attributes(&within(device, 8));
    assert_eq!(peers.len(), 2);
    let (gone, set) = (&peers[0].1, &peers[1].1);
    assert_eq!(
        (within(gone, 1), within(gone, 3)),
        (vec![9; 32], 1_u32.to_ne_bytes().to_vec())
    );
    assert_eq!(within(set, 1), [7; 32]);
    assert_eq!(within(set, 3), 2_u32.to_ne_bytes(), "WGPEER_F_REPLACE_ALLOWEDIPS");
    assert_eq!(
        within(set, 4)[..8],
        [2, 0, 0xca, 0x6c, 10, 9, 9, 9],
        "a sockaddr_in"
    );
    assert_eq!(within(set, 5), 25_u16.to_ne_bytes());
    let allowed = attributes(&within(set, 9));
    assert_eq!(allowed.len(), 2);
    let v4 = &allowed[0].1;
    assert_eq!(within(v4, 1), 2_u16.to_ne_bytes(), "AF_INET");
    assert_eq!((within(v4, 2), within(v4, 3)), (vec![10, 244, 3, 0], vec![24]));
    let v6 = &allowed[1].1;
    assert_eq!(within(v6, 1), 10_u16.to_ne_bytes(), "AF_INET6");
    assert_eq!((within(v6, 2).len(), within(v6, 3)), (16, vec![64]));
}

#[test]
fn many_nodes_are_told_in_parts() {
    let peer = |number: u8| Peer {
        key: Key([number; 32]),
        endpoint: ([10, 0, 0, number], PORT).into(),
        allowed: vec![format!("10.244.{number}.0/24").parse().unwrap()],
        far: false,
    };
    let all: BTreeMap<String, Peer> = (1..=200)
        .map(|number| (format!("node{number}"), peer(number)))
        .collect();
    let told = update(None, &all).unwrap();
    let messages = messages(&[1; 32], &told);
    assert_eq!(messages.len(), 4);
    for (index, message) in messages.into_iter().enumerate() {
        let bytes = packet(message, 33);
        assert!(bytes.len() < 1 << 16);
        let kinds: Vec<u16> = attributes(&bytes[20..]).iter().map(|(kind, _)| *kind).collect();
        // Replaced by the first alone: the next one would forget those of the first.
        assert_eq!(kinds.contains(&5), index == 0);
    }
}

#[test]
fn the_kernel_knows_its_families() {
    assert_eq!(family("nlctrl").unwrap(), 0x10);
    let unknown = family("no-such-family").unwrap_err();
    assert_eq!(unknown.kind(), io::ErrorKind::NotFound, "{unknown}");
    // A refusal by the kernel is an error.
    let message = WireguardMessage {
        cmd: WireguardCmd::SetDevice,
        attributes: Vec::new(),
    };
    assert!(request(&packet(message, 0xfff0)).is_err());
}

/// One end of a mesh of two nodes, in the namespace of this thread.
fn end(number: u8) {
    let run = |arguments: &str| {
        let output = std::process::Command::new("ip")
            .args(arguments.split(' '))
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "ip {arguments}: {errors}");
    };
    let other = 3 - number;
    let key = |number: u8| {
        let mut key = [number; 32];
        key[0] &= 248;
        key[31] = (key[31] & 127) | 64;
        key
    };
    let public = |number| Key(curve25519_dalek::MontgomeryPoint::mul_base_clamped(key(number)).to_bytes());
    let peer = Peer {
        key: public(other),
        endpoint: ([10, 89, 32, other], PORT).into(),
        allowed: vec![format!("10.244.{other}.0/24").parse().unwrap()],
        far: false,
    };
    let all = BTreeMap::from([("other".to_owned(), peer)]);
    let told = update(None, &all).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        WireGuard.make().await.unwrap();
        WireGuard.make().await.unwrap();
        WireGuard.set(&key(number), &told).await.unwrap();
    });
    run(&format!("addr add 10.89.32.{number}/24 dev v{number}"));
    run(&format!("link set v{number} up"));
    run(&format!("addr add 10.244.{number}.0/32 dev {INTERFACE}"));
    run(&format!("link set {INTERFACE} up mtu 1420"));
    run(&format!("route add 10.244.{other}.0/24 dev {INTERFACE}"));
}

/// Says so, and is skipped, where the kernel has no WireGuard: then that is the error.
#[test]
fn two_nodes_speak_through_the_kernel_s_mesh() {
    use nix::sched::{CloneFlags, unshare};
    use std::net::UdpSocket;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    if !nix::unistd::geteuid().is_root() || std::process::Command::new("ip").arg("-V").output().is_err() {
        eprintln!("skipped: it needs root and ip");
        return;
    }
    let run = move || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        match runtime.block_on(WireGuard.make()) {
            Err(TunnelError::Unknown(source)) => {
                eprintln!("skipped: the kernel has no WireGuard: {source}");
                runtime.block_on(WireGuard.remove()).unwrap();
                return;
            }
            made => made.unwrap(),
        }
        runtime.block_on(WireGuard.remove()).unwrap();
        let (told, number) = channel();
        let (go, wait) = channel::<()>();
        let other = std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            told.send(nix::unistd::gettid()).unwrap();
            wait.recv().unwrap();
            end(2);
            let socket = UdpSocket::bind("10.244.2.0:9000").unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
            let (_, from) = socket.recv_from(&mut [0; 8]).unwrap();
            socket.send_to(b"answer", from).unwrap();
            from.ip().to_string()
        });
        let pid = number.recv().unwrap();
        let arguments = format!("link add v1 type veth peer name v2 netns {pid}");
        let made = std::process::Command::new("ip")
            .args(arguments.split(' '))
            .status()
            .unwrap();
        assert!(made.success());
        go.send(()).unwrap();
        end(1);
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        let answered = (0..60).any(|_| {
            let _not_up_yet = socket.send_to(b"question", "10.244.2.0:9000");
            socket.recv(&mut [0; 8]).is_ok()
        });
        assert!(answered);
        assert_eq!(
            other.join().unwrap(),
            "10.244.1.0",
            "from the address of the mesh"
        );
    };
    std::thread::spawn(run).join().unwrap();
}
