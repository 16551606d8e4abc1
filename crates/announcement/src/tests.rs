use std::cmp::Ordering;

use hickory_proto::op::{self, Message, MessageType, OpCode};
use hickory_proto::rr::{Name, RecordType};
use proptest::prelude::*;

use super::*;

fn node(name: &str, last: u8) -> Announcement {
    let node: HostName = name.parse().unwrap();
    Announcement {
        label: label(&node, 0),
        node,
        cluster: Some(ClusterTag::of(b"home")),
        role: NodeRole::ControlPlane,
        port: 50000,
        addresses: vec![
            [10, 89, 32, last].into(),
            format!("fd00::{last}").parse().unwrap(),
        ],
    }
}

fn query(packet: &[u8]) -> Query {
    match read(packet) {
        Some(Packet::Query(query)) => query,
        other => panic!("{other:?}"),
    }
}

fn response(packet: &[u8]) -> Response {
    match read(packet) {
        Some(Packet::Response(response)) => response,
        other => panic!("{other:?}"),
    }
}

fn asked(name: &str, kind: RecordType) -> Query {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    message
        .queries
        .push(op::Query::query(Name::from_ascii(name).unwrap(), kind));
    query(&message.to_vec().unwrap())
}

#[test]
fn what_is_announced_is_read() {
    let node = node("node1.example.org", 1);
    assert_eq!(node.label, "node1-example-org");
    let here = |seconds| News::Here {
        announcement: node.clone(),
        seconds,
    };
    assert_eq!(response(&node.announce().unwrap()).news(), [here(120)]);
    let browse = query(&browse(std::iter::empty()).unwrap());
    assert!(!browse.wants_unicast() && !browse.is_probe());
    let answer = node.reply(&browse, false).unwrap();
    assert_eq!(response(&answer).news(), [here(120)]);
    let legacy = query(&legacy_browse(7).unwrap());
    assert!(legacy.wants_unicast());
    let answer = node.reply(&legacy, true).unwrap();
    assert_eq!(answer[..2], [0, 7], "it repeats the number");
    assert_eq!(response(&answer).news(), [here(10)]);
    let gone = News::Gone {
        label: node.label.clone(),
    };
    assert_eq!(response(&node.goodbye().unwrap()).news(), [gone]);
    let maintenance = Announcement {
        cluster: None,
        role: NodeRole::Maintenance,
        ..node
    };
    let news = response(&maintenance.announce().unwrap()).news();
    assert!(matches!(&news[..], [News::Here { announcement, .. }] if *announcement == maintenance));
}

#[test]
fn what_is_known_is_not_repeated_and_others_are_not_answered_for() {
    let node = node("node1", 1);
    let known = query(&browse(["node1"].into_iter()).unwrap());
    assert_eq!(node.reply(&known, false), None);
    let others = query(&browse(["node2"].into_iter()).unwrap());
    assert!(node.reply(&others, false).is_some());
    for (name, kind, answered) in [
        ("NODE1.local.", RecordType::A, true),
        ("node1.local.", RecordType::AAAA, true),
        ("node1.local.", RecordType::MX, false),
        ("node2.local.", RecordType::A, false),
        ("node1._bedplate._tcp.local.", RecordType::SRV, true),
        ("node1._bedplate._tcp.local.", RecordType::ANY, true),
        ("_services._dns-sd._udp.local.", RecordType::PTR, true),
        ("_http._tcp.local.", RecordType::PTR, false),
    ] {
        let reply = node.reply(&asked(name, kind), false);
        assert_eq!(reply.is_some(), answered, "{name} {kind}");
    }
}

#[test]
fn a_name_belongs_to_one() {
    let [one, other] = [node("node1", 1), node("node1", 2)];
    let elsewhere = node("node2", 2);
    let announced = |node: &Announcement| response(&node.announce().unwrap());
    assert!(one.conflicts_with(&announced(&other)));
    assert!(!one.conflicts_with(&announced(&one)));
    assert!(!one.conflicts_with(&announced(&elsewhere)));
    assert!(!one.conflicts_with(&response(&other.goodbye().unwrap())));
    let probe = |node: &Announcement| query(&node.probe().unwrap());
    assert!(probe(&one).is_probe());
    assert_eq!(one.contest(&probe(&other)), Some(Ordering::Less));
    assert_eq!(other.contest(&probe(&one)), Some(Ordering::Greater));
    assert_eq!(one.contest(&probe(&one)), None);
    assert_eq!(one.contest(&probe(&elsewhere)), None);
    assert!(one.reply(&probe(&other), false).is_some(), "it defends its name");
    let long: HostName = "a".repeat(63).parse().unwrap();
    assert_eq!(label(&long, 1).len(), 63);
    assert!(label(&long, 1).ends_with("a-2"));
}

#[test]
fn what_no_node_says_is_ignored() {
    let good = node("node1", 1);
    let unusable = [
        "0.0.0.0",
        "127.0.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "ff02::1",
        "::ffff:10.0.0.1",
    ];
    for address in unusable {
        let node = Announcement {
            addresses: vec![address.parse().unwrap()],
            ..good.clone()
        };
        assert_eq!(response(&node.announce().unwrap()).news(), [], "{address}");
    }
    let many = Announcement {
        addresses: (1..=20).map(|last| [10, 0, 0, last].into()).collect(),
        ..good.clone()
    };
    let news = response(&many.announce().unwrap()).news();
    assert!(
        matches!(&news[..], [News::Here { announcement, .. }] if announcement.addresses.len() == MAX_ADDRESSES)
    );
    let no_port = Announcement { port: 0, ..good };
    assert_eq!(response(&no_port.announce().unwrap()).news(), []);
    assert!(read(&vec![0; MAX_PACKET + 1]).is_none());
    // A header alone, which claims many.
    assert!(read(&[0, 0, 0, 0, 255, 255, 0, 0, 0, 0, 0, 0]).is_none());
    let lines = |lines: &[&str]| text::read(lines.iter().map(|line| line.as_bytes()));
    assert!(lines(&["txtvers=1", "node=a", "role=worker", "later=x"]).is_some());
    assert!(lines(&["txtvers=2", "node=a", "role=worker"]).is_none());
    assert!(lines(&["txtvers=1", "node=a_b", "role=worker"]).is_none());
    assert!(lines(&["txtvers=1", "node=a", "role=king"]).is_none());
    assert!(lines(&["txtvers=1", "node=a", "role=worker", "cluster=../etc"]).is_none());
}

/// What must hold whatever came.
fn harmless(packet: &[u8]) {
    let me = node("node1", 1);
    match read(packet) {
        Some(Packet::Query(query)) => {
            for legacy in [false, true] {
                let answer = me.reply(&query, legacy);
                assert!(answer.is_none_or(|answer| read(&answer).is_some()));
            }
            me.contest(&query);
        }
        Some(Packet::Response(response)) => {
            me.conflicts_with(&response);
            for news in response.news() {
                if let News::Here {
                    announcement,
                    seconds,
                } = news
                {
                    assert!(seconds <= 3600);
                    assert!(announcement.addresses.len() <= MAX_ADDRESSES);
                    assert!(announcement.addresses.iter().copied().all(is_usable));
                }
            }
        }
        None => (),
    }
}

proptest! {
    #[test]
    fn no_packet_does_harm(packet in proptest::collection::vec(any::<u8>(), 0..300)) {
        harmless(&packet);
    }

    #[test]
    fn no_damaged_packet_does_harm(which in 0_usize..4, damage in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..8)) {
        let me = node("node2", 2);
        let packets = [me.announce(), me.probe(), browse(["node3"].into_iter()), me.goodbye()];
        let mut packet = packets[which].clone().unwrap();
        for (at, byte) in damage {
            let at = at % packet.len();
            packet[at] = byte;
        }
        harmless(&packet);
    }
}
