//! Runs `bedplate pcap` against the real API server, which captures on this machine's own link to itself.

mod program;

use std::net::UdpSocket;
use std::time::Duration;

use program::cluster::cluster;

#[tokio::test(flavor = "multi_thread")]
async fn packets_are_captured_into_a_file_for_its_owner_alone() {
    let lab = cluster(&["node1"]).await;
    let (from, to) = (
        UdpSocket::bind("127.0.0.1:0").expect("a port"),
        UdpSocket::bind("127.0.0.1:0").expect("a port"),
    );
    let to = to.local_addr().expect("an address");
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopped = stop.clone();
    // Packets pass all the time: the program may begin at any.
    let sender = std::thread::spawn(move || {
        while !stopped.load(std::sync::atomic::Ordering::SeqCst) {
            from.send_to(b"a packet of the test", to).expect("it is sent");
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    let port = to.port().to_string();
    let arguments = [
        "pcap",
        "-i",
        "lo",
        "--port",
        &port,
        "--count",
        "3",
        "-O",
        "out.pcap",
        "--duration",
        "60s",
    ];
    let ran = lab.run(&arguments).await;
    stop.store(true, std::sync::atomic::Ordering::SeqCst);
    sender.join().expect("it ends");
    if !nix::unistd::geteuid().is_root() {
        assert!(ran.failure().err.contains("cannot capture packets"));
        return;
    }
    assert!(ran.success().err.contains("3 packets"));
    let file = std::fs::read(lab.home.path("out.pcap")).expect("a file");
    assert_eq!(file[..4], [0x4d, 0x3c, 0xb2, 0xa1]);
    let packets = file
        .windows(20)
        .filter(|bytes| *bytes == b"a packet of the test")
        .count();
    assert_eq!((packets, file.len()), (3, 24 + 3 * (16 + 42 + 20)));
    let metadata = std::fs::metadata(lab.home.path("out.pcap")).expect("a file");
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777,
        0o600
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_capture_leaves_itself_out_and_who_may_not_is_refused() {
    let lab = cluster(&["node1"]).await;
    let port = lab.nodes[0].address.port().to_string();
    // Everything at the node's port is this call.
    let quiet = [
        "pcap",
        "-i",
        "lo",
        "--port",
        &port,
        "--duration",
        "2s",
        "-O",
        "own.pcap",
    ];
    let ran = lab.run(&quiet).await;
    if nix::unistd::geteuid().is_root() {
        assert!(ran.success().err.starts_with("bedplate: 0 packets"));
    }
    let error = lab.run(&["pcap", "-i", "nope", "-O", "x"]).await.failure().err;
    assert!(
        error.contains("there is no interface \"nope\"; there are:"),
        "{error}"
    );
    lab.run(&["pcap", "-i", "lo", "--port", "0"]).await.usage();
    let client = [
        "gen",
        "client",
        "lab",
        "--at",
        "127.0.0.1",
        "--role",
        "operator",
        "--file",
        "operator.yaml",
    ];
    lab.home.run(&client).success();
    let ran = lab
        .run(&["pcap", "-i", "lo", "-O", "x", "--config", "operator.yaml"])
        .await;
    let error = ran.failure().err;
    assert!(error.contains("needs the role admin"), "{error}");
}
