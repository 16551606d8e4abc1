//! The packets: a question read, its answer written.

use hickory_proto::op::{Edns, Header, Message, MessageType, Metadata, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, RecordType};
use hickory_proto::serialize::binary::{BinDecodable as _, BinDecoder, BinEncodable as _, BinEncoder};

use crate::resolve::Outcome;

/// The largest answer over UDP without EDNS.
const PLAIN: u16 = 512;
/// The largest answer over UDP: it crosses any network in one piece.
const UNFRAGMENTED: u16 = 1232;
/// The size of the record by which EDNS is spoken, without options.
const OPT: u16 = 11;

/// How a packet came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// One packet.
    Udp,
    /// A part of a connection.
    Tcp,
}

/// What came.
#[derive(Debug)]
pub enum Incoming {
    /// Nothing that is answered: an answer, or too little to tell.
    Ignored,
    /// Something that is refused, by this packet.
    Refused(Vec<u8>),
    /// A question.
    Question(Box<Question>),
}

/// A question, and how its answer is to be written.
#[derive(Debug, Clone)]
pub struct Question {
    /// The name, and the kind of record.
    pub query: Query,
    /// Set when records by which others are verified are wanted.
    pub dnssec: bool,
    metadata: Metadata,
    edns: bool,
    limit: u16,
}

/// Reads a packet.
pub fn read(packet: &[u8], transport: Transport) -> Incoming {
    let Ok(header) = Header::read(&mut BinDecoder::new(packet)) else {
        return Incoming::Ignored;
    };
    if header.metadata.message_type == MessageType::Response {
        // Two servers that answer each other's answers never stop.
        return Incoming::Ignored;
    }
    let refuse = |code| refusal(&header.metadata, code);
    if header.metadata.op_code != OpCode::Query {
        return refuse(ResponseCode::NotImp);
    }
    // Before the rest is read: it makes room for as many as the header claims.
    let counts = header.counts;
    if counts.queries != 1 || counts.answers != 0 || counts.authorities > 1 || counts.additionals > 4 {
        return refuse(ResponseCode::FormErr);
    }
    let Ok(mut message) = Message::from_vec(packet) else {
        return refuse(ResponseCode::FormErr);
    };
    let Some(query) = message.queries.pop() else {
        return refuse(ResponseCode::FormErr);
    };
    let question = Question {
        limit: limit(transport, message.edns.as_ref()),
        edns: message.edns.is_some(),
        dnssec: message.edns.as_ref().is_some_and(|edns| edns.flags().dnssec_ok),
        metadata: header.metadata,
        query,
    };
    let version = message.edns.as_ref().map_or(0, Edns::version);
    let transfer = matches!(
        question.query.query_type(),
        RecordType::AXFR | RecordType::IXFR | RecordType::OPT | RecordType::TSIG
    );
    let refused = match question.query.query_class() {
        _ if version > 0 => ResponseCode::BADVERS,
        DNSClass::IN if !transfer => return Incoming::Question(Box::new(question)),
        _ => ResponseCode::Refused,
    };
    Incoming::Refused(question.answer(&Outcome::failure(refused)))
}

fn limit(transport: Transport, edns: Option<&Edns>) -> u16 {
    match transport {
        Transport::Tcp => u16::MAX,
        Transport::Udp => edns.map_or(PLAIN, |edns| edns.max_payload().clamp(PLAIN, UNFRAGMENTED)),
    }
}

/// Answers what cannot be read by its header alone.
fn refusal(metadata: &Metadata, code: ResponseCode) -> Incoming {
    let mut answer = Message::new(metadata.id, MessageType::Response, metadata.op_code);
    answer.metadata.recursion_desired = metadata.recursion_desired;
    answer.metadata.response_code = code;
    match answer.to_vec() {
        Ok(packet) => Incoming::Refused(packet),
        Err(_) => Incoming::Ignored,
    }
}

impl Question {
    /// Writes the answer: as much of it as the packet holds, marked as cut where it is.
    pub fn answer(&self, outcome: &Outcome) -> Vec<u8> {
        let mut metadata = Metadata::response_from_request(&self.metadata);
        metadata.authoritative = outcome.authoritative;
        metadata.recursion_available = true;
        metadata.response_code = outcome.code;
        let mut message = Message::new(metadata.id, MessageType::Response, metadata.op_code);
        message.metadata = metadata;
        message.queries.push(self.query.clone());
        message.answers.clone_from(&outcome.answers);
        message.authorities.clone_from(&outcome.authorities);
        message.additionals.clone_from(&outcome.additionals);
        let whole = self.write(&message);
        match whole {
            Some(packet) if !is_cut(&packet) => packet,
            // What was not asked for goes first, and is not missed.
            _ => {
                message.additionals.clear();
                self.write(&message)
                    .unwrap_or_else(|| self.bare(ResponseCode::ServFail))
            }
        }
    }

    fn write(&self, message: &Message) -> Option<Vec<u8>> {
        let mut packet = Vec::with_capacity(usize::from(PLAIN));
        let mut encoder = BinEncoder::new(&mut packet);
        encoder.set_max_size(self.limit - OPT);
        message.emit(&mut encoder).ok()?;
        // Of a record that did not fit, the beginning is still there.
        encoder.trim();
        self.finish(&mut packet, message.metadata.response_code);
        Some(packet)
    }

    /// Adds the record of EDNS, for which room was left: also an answer that is cut has it.
    fn finish(&self, packet: &mut Vec<u8>, code: ResponseCode) {
        if !self.edns || packet.len() < 12 {
            return;
        }
        let [size_high, size_low] = UNFRAGMENTED.to_be_bytes();
        let flags = if self.dnssec { 0x80 } else { 0 };
        // The root's name, the kind, the size, high bits of the code, version, flags, no options.
        let option = [0, 0, 41, size_high, size_low, code.high(), 0, flags, 0, 0, 0];
        packet.extend(option);
        let additionals = u16::from_be_bytes([packet[10], packet[11]]).saturating_add(1);
        packet[10..12].copy_from_slice(&additionals.to_be_bytes());
    }

    /// Writes a header and nothing else.
    fn bare(&self, code: ResponseCode) -> Vec<u8> {
        match refusal(&self.metadata, code) {
            Incoming::Refused(packet) => packet,
            _ => Vec::new(),
        }
    }
}

/// Tells whether a packet is marked as cut.
fn is_cut(packet: &[u8]) -> bool {
    packet.get(2).is_some_and(|flags| flags & 0x02 != 0)
}
