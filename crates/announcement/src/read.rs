//! Reads packets: anybody on the network may send any.

use std::collections::BTreeMap;
use std::net::IpAddr;

use hickory_proto::op::{self, Header, Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable as _, BinDecoder};

use crate::{Announcement, MAX_ADDRESSES, MAX_PACKET, is_usable, records, text};

/// The most records of a packet that is read.
const MAX_RECORDS: usize = 256;
/// The most announcements that are taken from a packet.
const MAX_NEWS: usize = 16;
/// The longest that an announcement is believed, in seconds.
const MAX_SECONDS: u32 = 3600;

/// What came.
#[derive(Debug)]
pub enum Packet {
    /// Questions.
    Query(Query),
    /// Answers, asked for or not.
    Response(Response),
}

/// Questions.
#[derive(Debug)]
pub struct Query {
    /// The number of the packet, which a legacy answer repeats.
    pub(crate) id: u16,
    /// What is asked.
    pub(crate) questions: Vec<op::Query>,
    /// Answers that whoever asks knows already.
    pub(crate) known: Vec<Record>,
    /// Records that whoever asks would like to have.
    pub(crate) proposed: Vec<Record>,
}

/// Answers, asked for or not.
#[derive(Debug)]
pub struct Response {
    /// All records.
    pub(crate) records: Vec<Record>,
}

/// What a response says about a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// It is there.
    Here {
        /// What it says.
        announcement: Announcement,
        /// How long that is to be believed.
        seconds: u32,
    },
    /// It is no longer there.
    Gone {
        /// Its name on the network.
        label: String,
    },
}

/// Reads a packet. Returns none for everything that is to be ignored.
pub fn read(packet: &[u8]) -> Option<Packet> {
    if packet.len() > MAX_PACKET {
        return None;
    }
    let header = Header::read(&mut BinDecoder::new(packet)).ok()?;
    // Before the rest is read: it makes room for as many as the header claims.
    let counts = header.counts;
    let claimed = [
        counts.queries,
        counts.answers,
        counts.authorities,
        counts.additionals,
    ];
    if claimed.into_iter().map(usize::from).sum::<usize>() > MAX_RECORDS {
        return None;
    }
    let metadata = header.metadata;
    if metadata.op_code != OpCode::Query || metadata.response_code != ResponseCode::NoError {
        return None;
    }
    let message = Message::from_vec(packet).ok()?;
    Some(match metadata.message_type {
        MessageType::Query => Packet::Query(Query {
            id: metadata.id,
            questions: message.queries,
            known: message.answers,
            proposed: message.authorities,
        }),
        MessageType::Response => {
            let mut records = message.answers;
            records.extend(message.additionals);
            Packet::Response(Response { records })
        }
    })
}

impl Response {
    /// Returns what it says about nodes, each once.
    pub fn news(&self) -> Vec<News> {
        let Ok(service) = records::service() else {
            return Vec::new();
        };
        let mut news = BTreeMap::new();
        for record in self.records.iter().filter(|record| record.name == service) {
            let RData::PTR(pointer) = &record.data else {
                continue;
            };
            let Some(label) = label_in(&pointer.0, &service) else {
                continue;
            };
            if news.len() == MAX_NEWS {
                break;
            }
            if record.ttl == 0 {
                news.insert(label.clone(), News::Gone { label });
            } else if let Some(found) = self.here(&label, &pointer.0, record.ttl) {
                news.insert(label, found);
            }
        }
        news.into_values().collect()
    }

    /// Reads what an instance of the service says.
    fn here(&self, label: &str, instance: &Name, ttl: u32) -> Option<News> {
        let of = |name: &Name, kind: RecordType| {
            let found = self.records.iter();
            let name = name.clone();
            found.filter(move |record| record.name == name && record.record_type() == kind && record.ttl > 0)
        };
        let server = of(instance, RecordType::SRV).next()?;
        let said = of(instance, RecordType::TXT).next()?;
        let (RData::SRV(service), RData::TXT(lines)) = (&server.data, &said.data) else {
            return None;
        };
        let host = &service.target;
        let mut seconds = ttl.min(server.ttl).min(said.ttl).min(MAX_SECONDS);
        let mut addresses: Vec<IpAddr> = Vec::new();
        for record in &self.records {
            let address = match record.data {
                RData::A(v4) => IpAddr::V4(v4.0),
                RData::AAAA(v6) => IpAddr::V6(v6.0),
                _ => continue,
            };
            let fine = record.name == *host && record.ttl > 0 && is_usable(address);
            if fine && addresses.len() < MAX_ADDRESSES && !addresses.contains(&address) {
                addresses.push(address);
                seconds = seconds.min(record.ttl);
            }
        }
        let said = text::read(lines.txt_data.iter().map(|line| &**line))?;
        let announcement = Announcement {
            label: label.to_owned(),
            node: said.node,
            cluster: said.cluster,
            role: said.role,
            port: service.port,
            addresses,
        };
        let usable = announcement.port != 0 && !announcement.addresses.is_empty();
        usable.then_some(News::Here {
            announcement,
            seconds,
        })
    }
}

/// Returns the label by which an instance has its name, if it is one that a node may have.
fn label_in(instance: &Name, service: &Name) -> Option<String> {
    let label = instance.iter().next()?;
    let fine = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
    if instance.base_name() != *service || !label.iter().all(fine) {
        return None;
    }
    String::from_utf8(label.to_ascii_lowercase()).ok()
}
