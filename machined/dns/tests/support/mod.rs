//! The service in a thread of its own, and a client.

#![allow(dead_code, reason = "each test uses its part")]
#![expect(clippy::unwrap_used, reason = "a test may unwrap")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use cluster_zone::proto::op::{Edns, Message, Query, ResponseCode};
use cluster_zone::proto::rr::{Name, RecordType};
use dns::Settings;
use tokio::runtime::Runtime;

/// The address of the cluster's DNS.
pub const DNS: &str = "10.96.0.10";
/// How long something may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// Returns settings whose files are in a folder.
pub fn settings(folder: &Path) -> Settings {
    Settings {
        cluster: "home".into(),
        domain: "cluster.local".into(),
        addresses: vec![DNS.parse().unwrap()],
        port: 53,
        check: "127.0.0.1:10053".parse().unwrap(),
        pods: vec!["10.244.0.0/16".parse().unwrap()],
        services: vec!["10.96.0.0/12".parse().unwrap()],
        api: "https://192.0.2.7:6443".into(),
        endpoint_slices: "discovery.k8s.io/v1".into(),
        authority: folder.join("ca.crt"),
        certificate: folder.join("client.crt"),
        key: folder.join("client.key"),
        resolv_conf: folder.join("resolv.conf"),
        saved: folder.join("known.json"),
    }
}

/// The service, which ends without warning when the value is dropped, as at a power cut.
pub struct Service(Option<Runtime>);

impl Service {
    /// Starts it in the network of this thread.
    pub fn start(settings: &Settings) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let settings = settings.clone();
        runtime.spawn(async move {
            if let Err(error) = dns::run(settings).await {
                eprintln!("the service ended: {}", state::chain(&error));
            }
        });
        Service(Some(runtime))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
    }
}

/// Changes the network of this thread.
pub fn ip(arguments: &[&str]) {
    let status = Command::new("ip").args(arguments).status().unwrap();
    assert!(status.success(), "ip {arguments:?}");
}

/// Waits until something holds.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "it is not so that {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

pub fn question(name: &str, kind: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message.set_edns(Edns::new());
    message
}

/// Asks by a packet.
pub fn ask(name: &str, kind: RecordType) -> Message {
    let server: SocketAddr = format!("{DNS}:53").parse().unwrap();
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let question = question(name, kind);
    let mut packet = [0; 4096];
    let begun = Instant::now();
    // As every client does: a packet may be lost, and a busy machine be slow to answer.
    let length = loop {
        socket.send(&question.to_vec().unwrap()).unwrap();
        match socket.recv(&mut packet) {
            Ok(length) => break length,
            Err(error) => assert!(begun.elapsed() < PATIENCE, "nobody answers: {error}"),
        }
    };
    let answer = Message::from_vec(&packet[..length]).unwrap();
    assert_eq!(answer.metadata.id, question.metadata.id);
    answer
}

/// Asks by a connection, twice.
pub fn ask_tcp(name: &str, kind: RecordType) -> Message {
    let mut stream = TcpStream::connect((DNS, 53)).unwrap();
    let mut last = None;
    for _ in 0..2 {
        let packet = question(name, kind).to_vec().unwrap();
        let length = u16::try_from(packet.len()).unwrap();
        stream.write_all(&length.to_be_bytes()).unwrap();
        stream.write_all(&packet).unwrap();
        let mut length = [0; 2];
        stream.read_exact(&mut length).unwrap();
        let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut answer).unwrap();
        last = Some(Message::from_vec(&answer).unwrap());
    }
    last.unwrap()
}

/// Shows an answer: its code, and its records.
pub fn shown(answer: &Message) -> String {
    let mut words = vec![match answer.metadata.response_code {
        ResponseCode::NoError => "ok".to_owned(),
        ResponseCode::NXDomain => "missing".to_owned(),
        ResponseCode::ServFail => "failed".to_owned(),
        other => other.to_string(),
    }];
    words.extend(answer.answers.iter().map(|record| record.data.to_string()));
    words.join(" ")
}
