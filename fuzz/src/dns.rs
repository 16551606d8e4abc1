//! Questions to the cluster's DNS: any pod may send any packet.

use std::sync::OnceLock;

use cluster_zone::message::{Incoming, Transport, read};
use cluster_zone::objects::{Endpoint, Port, Protocol, Service, Slice, Target};
use cluster_zone::proto::op::{Message, MessageType, ResponseCode};
use cluster_zone::proto::rr::Name;
use cluster_zone::{Outcome, Resolved, Zone, ZoneConfig};

/// The largest packets over UDP and over TCP.
const UDP: usize = 1232;
const TCP: usize = 65_535;

/// The first byte says how the packet came. What is answered is an answer to the same question, and no larger than it may be.
pub(super) fn question(data: &[u8]) {
    let Some((how, packet)) = data.split_first() else {
        return;
    };
    let (transport, limit) = match how % 2 {
        0 => (Transport::Udp, UDP),
        _ => (Transport::Tcp, TCP),
    };
    let answer = match read(packet, transport) {
        Incoming::Ignored => return,
        Incoming::Refused(answer) => answer,
        Incoming::Question(question) => {
            let query = &question.query;
            let outcome = match zone().resolve(query.name(), query.query_type(), usize::from(*how)) {
                Resolved::Here(outcome) => outcome,
                Resolved::Elsewhere(..) => Outcome::failure(ResponseCode::ServFail),
            };
            question.answer(&outcome)
        }
    };
    assert!(answer.len() <= limit, "an answer of {} bytes", answer.len());
    assert_eq!(answer[..2], packet[..2], "the answer is for another question");
    let read = Message::from_vec(&answer).expect("an answer can be read");
    assert_eq!(read.metadata.message_type, MessageType::Response);
}

/// A cluster with a service of each sort, one of them with more endpoints than a packet holds.
fn zone() -> &'static Zone {
    static ZONE: OnceLock<Zone> = OnceLock::new();
    ZONE.get_or_init(|| {
        let networks = |text: &str| vec![text.parse().expect("it is a network")];
        let mut zone = Zone::new(ZoneConfig {
            domain: Name::from_ascii("cluster.local.").expect("it is a name"),
            dns: Vec::new(),
            pods: networks("10.244.0.0/16"),
            services: networks("10.96.0.0/12"),
        });
        zone.set_namespace("default");
        let ports = || {
            Box::from([Port {
                name: "http".into(),
                protocol: Protocol::Tcp,
                number: 80,
            }])
        };
        let targets = [
            ("a", Target::Addresses(Box::from([[10, 96, 0, 1].into()]))),
            ("h", Target::Endpoints),
            ("n", Target::Name("n.default.svc.cluster.local".into())),
        ];
        for (name, target) in targets {
            let service = Service {
                target,
                ports: ports(),
                publishes_not_ready: false,
            };
            zone.set_service("default", name, service);
        }
        let endpoint = |last: u8| Endpoint {
            address: [10, 244, 0, last].into(),
            hostname: last.is_multiple_of(2).then(|| format!("h{last}").into()),
            ready: true,
        };
        let slice = Slice {
            service: "h".into(),
            ports: ports(),
            endpoints: (0..200).map(endpoint).collect(),
        };
        zone.set_slice("default", "h-1", slice);
        zone.set_synced();
        zone
    })
}
