//! Any packet and any question gets an answer that is well-formed and no larger than its reader takes.

#![expect(clippy::unwrap_used, reason = "a test may unwrap")]

mod cluster;

use cluster_zone::message::{Incoming, Question, Transport, read};
use cluster_zone::proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use cluster_zone::proto::rr::{Name, RecordType};
use cluster_zone::{Outcome, Resolved, Zone};
use proptest::prelude::*;

/// Answers a packet by the zone alone.
fn respond(zone: &Zone, packet: &[u8], transport: Transport, turn: usize) -> Option<Vec<u8>> {
    let question: Box<Question> = match read(packet, transport) {
        Incoming::Ignored => return None,
        Incoming::Refused(packet) => return Some(packet),
        Incoming::Question(question) => question,
    };
    let query = &question.query;
    let outcome = match zone.resolve(query.name(), query.query_type(), turn) {
        Resolved::Here(outcome) => outcome,
        Resolved::Elsewhere(..) => Outcome::failure(ResponseCode::ServFail),
    };
    Some(question.answer(&outcome))
}

/// A cluster with a service of a thousand endpoints, all with long names.
fn large() -> Zone {
    let mut zone = cluster::zone();
    zone.set_service("web", "crowd", cluster::headless(false));
    for part in 0..10 {
        let names: Vec<(String, String)> = (0..100)
            .map(|number| {
                (
                    format!("10.244.{part}.{number}"),
                    format!("{}-{part}-{number}", "a".repeat(50)),
                )
            })
            .collect();
        let all: Vec<_> = names
            .iter()
            .map(|(address, name)| (address.as_str(), Some(name.as_str()), true))
            .collect();
        zone.set_slice("web", &format!("crowd-{part}"), cluster::slice("crowd", 80, &all));
    }
    zone
}

fn question(name: &Name, kind: RecordType, size: Option<u16>) -> Vec<u8> {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(name.clone(), kind));
    if let Some(size) = size {
        let mut edns = Edns::new();
        edns.set_max_payload(size);
        message.set_edns(edns);
    }
    message.to_vec().unwrap()
}

#[test]
fn an_answer_that_does_not_fit_is_cut_and_says_so() {
    let zone = large();
    let ask = |name: &str, kind, size, transport| {
        let name = Name::from_ascii(name).unwrap();
        let packet = respond(&zone, &question(&name, kind, size), transport, 3).unwrap();
        (packet.len(), Message::from_vec(&packet).unwrap())
    };
    let crowd = "crowd.web.svc.cluster.local.";
    for (size, limit) in [(None, 512), (Some(0), 512), (Some(800), 800), (Some(4096), 1232)] {
        let (length, answer) = ask(crowd, RecordType::A, size, Transport::Udp);
        assert!(
            answer.metadata.truncation && length <= limit,
            "{size:?}: {length}"
        );
        assert!(answer.answers.len() >= (limit - 60) / 16 - 1, "{size:?}");
        assert_eq!(answer.edns.is_some(), size.is_some(), "{size:?}");
    }
    let (_, answer) = ask(crowd, RecordType::A, None, Transport::Tcp);
    assert!(!answer.metadata.truncation);
    assert_eq!(answer.answers.len(), 1000);
    // Addresses that were not asked for are left out without a word.
    let ports = "_http._tcp.crowd.web.svc.cluster.local.";
    let (length, answer) = ask(ports, RecordType::SRV, Some(1232), Transport::Udp);
    assert!(answer.metadata.truncation && answer.additionals.is_empty() && length <= 1232);
    let few = "_http._tcp.headless.web.svc.cluster.local.";
    let (_, answer) = ask(few, RecordType::SRV, Some(1232), Transport::Udp);
    assert!(!answer.metadata.truncation);
    assert_eq!((answer.answers.len(), answer.additionals.len()), (2, 3));
}

#[test]
fn what_is_no_question_is_refused_or_ignored() {
    let zone = cluster::zone();
    let name = Name::from_ascii("kubernetes.default.svc.cluster.local.").unwrap();
    let good = question(&name, RecordType::A, Some(1232));
    let code = |packet: &[u8]| {
        let answer = respond(&zone, packet, Transport::Udp, 0)?;
        Some(Message::from_vec(&answer).unwrap().metadata.response_code)
    };
    assert_eq!(code(&good), Some(ResponseCode::NoError));
    assert_eq!(code(&good[..11]), None);
    assert_eq!(code(&good[..20]), Some(ResponseCode::FormErr));
    let changed = |at: usize, to: u8| {
        let mut packet = good.clone();
        packet[at] = to;
        packet
    };
    assert_eq!(code(&changed(2, 0x80)), None, "an answer");
    assert_eq!(code(&changed(2, 5 << 3)), Some(ResponseCode::NotImp), "an update");
    assert_eq!(code(&changed(5, 2)), Some(ResponseCode::FormErr), "two questions");
    assert_eq!(
        code(&changed(4, 255)),
        Some(ResponseCode::FormErr),
        "65281 questions"
    );
    let end = good.len();
    assert_eq!(
        code(&changed(end - 5, 1)).map(u16::from),
        Some(16),
        "a later EDNS"
    );
    assert_eq!(
        code(&changed(end - 12, 3)),
        Some(ResponseCode::Refused),
        "another class"
    );
    assert_eq!(
        code(&question(&name, RecordType::AXFR, None)),
        Some(ResponseCode::Refused)
    );
}

#[test]
fn the_name_comes_back_as_it_was_written() {
    let zone = cluster::zone();
    let name = Name::from_ascii("KuberNetes.default.svc.Cluster.local.").unwrap();
    let packet = respond(&zone, &question(&name, RecordType::A, None), Transport::Udp, 0).unwrap();
    let answer = Message::from_vec(&packet).unwrap();
    assert!(answer.queries[0].name().eq_case(&name));
    assert!(answer.metadata.authoritative && answer.metadata.recursion_available);
    assert_eq!(answer.id, 7);
}

fn any_label() -> impl Strategy<Value = String> {
    let known = [
        "kubernetes",
        "default",
        "svc",
        "pod",
        "cluster",
        "local",
        "headless",
        "web",
        "crowd",
        "_http",
        "_tcp",
        "_udp",
        "my-pet",
        "10-244-1-2",
        "shop",
        "in-addr",
        "arpa",
        "10",
        "96",
        "0",
        "1",
        "dns-version",
        "ns",
        "dns",
        "quiet",
        "-",
        "_",
    ];
    prop_oneof![
        4 => proptest::sample::select(known.to_vec()).prop_map(str::to_owned),
        1 => "[a-z0-9_-]{1,63}",
    ]
}

fn any_kind() -> impl Strategy<Value = RecordType> {
    prop_oneof![
        proptest::sample::select(vec![
            RecordType::A,
            RecordType::AAAA,
            RecordType::SRV,
            RecordType::PTR,
            RecordType::TXT,
            RecordType::ANY
        ]),
        any::<u16>().prop_map(RecordType::from),
    ]
}

proptest! {
    #[test]
    fn any_question_gets_a_well_formed_answer(
        labels in proptest::collection::vec(any_label(), 0..8),
        ours in any::<bool>(),
        kind in any_kind(),
        size in proptest::option::of(any::<u16>()),
        turn in any::<usize>(),
    ) {
        thread_local!(static ZONE: Zone = large());
        let name = labels.iter().map(String::as_bytes);
        let end: &[&[u8]] = if ours { &[b"cluster", b"local"] } else { &[] };
        let Ok(name) = Name::from_labels(name.chain(end.iter().copied())) else { return Ok(()) };
        let packet = question(&name, kind, size);
        for (transport, limit) in [(Transport::Udp, usize::from(size.unwrap_or(0).clamp(512, 1232))), (Transport::Tcp, 65_535)] {
            let answer = ZONE.with(|zone| respond(zone, &packet, transport, turn)).unwrap();
            prop_assert!(answer.len() <= limit, "{}", answer.len());
            let read = Message::from_vec(&answer).unwrap();
            prop_assert_eq!(read.metadata.message_type, MessageType::Response);
            prop_assert_eq!(read.id, 7);
            for record in &read.answers {
                prop_assert!(record.ttl <= cluster_zone::TTL);
            }
        }
    }

    #[test]
    fn any_packet_gets_a_well_formed_answer_or_none(packet in proptest::collection::vec(any::<u8>(), 0..600), tcp in any::<bool>()) {
        thread_local!(static ZONE: Zone = cluster::zone());
        let transport = if tcp { Transport::Tcp } else { Transport::Udp };
        if let Some(answer) = ZONE.with(|zone| respond(zone, &packet, transport, 0)) {
            prop_assert_eq!(&answer[..2], &packet[..2]);
            let read = Message::from_vec(&answer).unwrap();
            prop_assert_eq!(read.metadata.message_type, MessageType::Response);
        }
    }
}
