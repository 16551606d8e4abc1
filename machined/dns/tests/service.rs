//! The service in a network of its own, without an API server. Needs root.

#![expect(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use cluster_zone::proto::op::{Message, MessageType, ResponseCode};
use cluster_zone::proto::rr::{RData, Record, RecordType};
use control_plane_testkit::{ADDRESS, enter_network};
use support::{Service, ask, ask_tcp, ip, settings, shown, until};

/// Runs a test in a network of its own, if that can be made.
fn in_a_network(test: impl FnOnce() + Send) {
    if std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) != 0) {
        eprintln!("skipped: only root can make a network namespace");
        return;
    }
    let ended = std::thread::scope(|scope| {
        let run = || {
            enter_network(ADDRESS);
            test();
        };
        scope.spawn(run).join()
    });
    if let Err(panic) = ended {
        std::panic::resume_unwind(panic);
    }
}

/// A name server, which answers what it is asked for with its own number, as long as it is up.
struct Upstream {
    asked: Arc<AtomicUsize>,
    up: Arc<AtomicBool>,
}

impl Upstream {
    /// Starts one at an address of this network.
    fn start(last: u8, code: ResponseCode) -> Self {
        let address = Ipv4Addr::new(192, 0, 2, last);
        ip(&["address", "add", &format!("{address}/32"), "dev", "lo"]);
        let upstream = Upstream {
            asked: Arc::default(),
            up: Arc::new(AtomicBool::new(true)),
        };
        let udp = UdpSocket::bind((address, 53)).unwrap();
        let tcp = TcpListener::bind((address, 53)).unwrap();
        let (asked, up) = (upstream.asked.clone(), upstream.up.clone());
        std::thread::spawn(move || {
            let mut packet = [0; 4096];
            while let Ok((length, client)) = udp.recv_from(&mut packet) {
                asked.fetch_add(1, Ordering::SeqCst);
                if up.load(Ordering::SeqCst) {
                    udp.send_to(&answer(&packet[..length], code, last, false), client)
                        .unwrap();
                }
            }
        });
        std::thread::spawn(move || {
            for stream in tcp.incoming() {
                let mut stream = stream.unwrap();
                let mut length = [0; 2];
                stream.read_exact(&mut length).unwrap();
                let mut packet = vec![0; usize::from(u16::from_be_bytes(length))];
                stream.read_exact(&mut packet).unwrap();
                let answer = answer(&packet, code, last, true);
                let length = u16::try_from(answer.len()).unwrap();
                stream.write_all(&length.to_be_bytes()).unwrap();
                stream.write_all(&answer).unwrap();
            }
        });
        upstream
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn set_up(&self, up: bool) {
        self.up.store(up, Ordering::SeqCst);
    }
}

/// Answers with one address, valid for a second if the name says so; names with `large` have a hundred, by a connection only.
fn answer(packet: &[u8], code: ResponseCode, last: u8, tcp: bool) -> Vec<u8> {
    let mut answer = Message::from_vec(packet).unwrap();
    let name = answer.queries[0].name().clone();
    answer.metadata.message_type = MessageType::Response;
    answer.metadata.response_code = code;
    let text = name.to_string();
    let ttl = if text.contains("short") { 1 } else { 300 };
    let count = if text.contains("large") { 100 } else { 1 };
    if code == ResponseCode::NoError && (count == 1 || tcp) {
        let address = |number| RData::A(Ipv4Addr::new(198, 51, number, last).into());
        answer.add_answers((0..count).map(|number| Record::from_rdata(name.clone(), ttl, address(number))));
    }
    answer.metadata.truncation = count > 1 && !tcp;
    answer.to_vec().unwrap()
}

#[test]
fn other_names_are_asked_from_the_node_s_own_servers() {
    in_a_network(|| {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        let list = |text: &str| std::fs::write(&settings.resolv_conf, text).unwrap();
        let refusing = Upstream::start(51, ResponseCode::Refused);
        let first = Upstream::start(52, ResponseCode::NoError);
        let second = Upstream::start(53, ResponseCode::NoError);
        list("nameserver 10.96.0.10\nnameserver 192.0.2.51\nnameserver 192.0.2.52\n");
        let _service = Service::start(&settings);
        // The address comes later than the service.
        std::thread::sleep(std::time::Duration::from_millis(300));
        ip(&["address", "add", "10.96.0.10/32", "dev", "lo"]);
        until("it answers", || {
            std::net::TcpStream::connect(("10.96.0.10", 53)).is_ok()
        });

        assert_eq!(shown(&ask("www.example.", RecordType::A)), "ok 198.51.0.52");
        assert_eq!((refusing.asked(), first.asked()), (1, 1));
        // Held, whatever the case; the server that answered is the first to be asked next.
        assert_eq!(shown(&ask("WWW.example.", RecordType::A)), "ok 198.51.0.52");
        assert_eq!(shown(&ask_tcp("www.example.", RecordType::A)), "ok 198.51.0.52");
        assert_eq!(first.asked(), 1);
        assert_eq!(shown(&ask("short.example.", RecordType::A)), "ok 198.51.0.52");
        assert_eq!((refusing.asked(), first.asked()), (1, 2));

        // What does not fit is fetched by a connection, and cut for those who ask by packets.
        let large = ask("large.example.", RecordType::A);
        assert!(large.metadata.truncation && !large.answers.is_empty());
        let large = ask_tcp("large.example.", RecordType::A);
        assert!(!large.metadata.truncation);
        assert_eq!(large.answers.len(), 100);

        // Nobody answers: what is too old is better than nothing.
        first.set_up(false);
        std::thread::sleep(std::time::Duration::from_millis(1100));
        let stale = ask("short.example.", RecordType::A);
        assert_eq!(shown(&stale), "ok 198.51.0.52");
        assert!(stale.answers[0].ttl <= 5);
        assert_eq!(shown(&ask("new.example.", RecordType::A)), "failed");

        // Another list is followed, and what others said is forgotten.
        list("nameserver 192.0.2.53\n");
        until("the other server is asked", || {
            shown(&ask("www.example.", RecordType::A)) == "ok 198.51.0.53"
        });
        assert!(second.asked() >= 1);
        // Without any list but the service itself there is no loop.
        list("nameserver 10.96.0.10\n");
        until("nobody is asked", || {
            shown(&ask("www.example.", RecordType::A)) == "failed"
        });
    });
}

#[test]
fn a_node_that_never_knew_the_cluster_says_so() {
    in_a_network(|| {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        ip(&["address", "add", "10.96.0.10/32", "dev", "lo"]);
        let file = folder.path().join("settings.json");
        std::fs::write(&file, serde_json::to_string(&settings).unwrap()).unwrap();
        let check = || {
            let words = ["dns", "check"].map(str::to_owned);
            let words = [&words[..], &[file.display().to_string()]].concat();
            format!("{:?}", dns::main(dns::asked_for(&words).unwrap()))
        };
        let (healthy, unhealthy) = (
            format!("{:?}", std::process::ExitCode::SUCCESS),
            format!("{:?}", std::process::ExitCode::FAILURE),
        );
        assert_eq!(check(), unhealthy, "nobody serves yet");
        let service = Service::start(&settings);
        until("it answers", || {
            std::net::TcpStream::connect(settings.check).is_ok()
        });
        assert_eq!(
            shown(&ask("kubernetes.default.svc.cluster.local.", RecordType::A)),
            "failed"
        );
        assert_eq!(check(), unhealthy);
        drop(service);

        // A file of another cluster, or none that can be read, is as good as none.
        let known = r#"{"version":1,"cluster":"CLUSTER","domain":"cluster.local","contents":{"namespaces":["default"],"services":
            [["default","kubernetes",{"target":{"addresses":["10.96.0.1"]}}]],"slices":[]}}"#;
        for (text, answer, health) in [
            ("nonsense".to_owned(), "failed", &unhealthy),
            (known.replace("CLUSTER", "other"), "failed", &unhealthy),
            (known.replace("CLUSTER", "home"), "ok 10.96.0.1", &healthy),
        ] {
            std::fs::write(&settings.saved, &text).unwrap();
            let _service = Service::start(&settings);
            until("it answers", || {
                std::net::TcpStream::connect(settings.check).is_ok()
            });
            assert_eq!(
                shown(&ask("kubernetes.default.svc.cluster.local.", RecordType::A)),
                answer,
                "{text}"
            );
            assert_eq!(check(), *health, "{text}");
        }
    });
}
