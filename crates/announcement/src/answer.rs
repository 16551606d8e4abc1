//! Writes packets: questions, answers, announcements.

use std::cmp::Ordering;

use hickory_proto::op::{self, Message, MessageType, OpCode};
use hickory_proto::rr::rdata::PTR;
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::BinEncodable as _;

use crate::records::{self, Form};
use crate::{Announcement, Query, Response};

/// The most answers that a question repeats as known: with more, the packet would not cross any network in one piece.
const MAX_KNOWN: usize = 24;

/// Asks who is there, for all to hear, by these labels that are known already. Returns none only if it cannot be written.
pub fn browse<'a>(known: impl Iterator<Item = &'a str>) -> Option<Vec<u8>> {
    let service = records::service().ok()?;
    let mut message = Message::new(0, MessageType::Query, OpCode::Query);
    message
        .queries
        .push(op::Query::query(service.clone(), RecordType::PTR));
    for label in known.take(MAX_KNOWN) {
        let pointer = RData::PTR(PTR(records::instance(label).ok()?));
        // More than half of its time is left.
        message
            .answers
            .push(Record::from_rdata(service.clone(), 4500, pointer));
    }
    message.to_vec().ok()
}

/// Asks who is there, from a port of its own: the answers come back to that port (RFC 6762, section 6.7).
pub fn legacy_browse(id: u16) -> Option<Vec<u8>> {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    let mut question = op::Query::query(records::service().ok()?, RecordType::PTR);
    question.set_mdns_unicast_response(true);
    message.queries.push(question);
    message.to_vec().ok()
}

impl Announcement {
    /// Writes all that it says, for all to hear.
    pub fn announce(&self) -> Option<Vec<u8>> {
        self.whole(Form::Multicast)
    }

    /// Writes that it is no longer there.
    pub fn goodbye(&self) -> Option<Vec<u8>> {
        self.whole(Form::Goodbye)
    }

    fn whole(&self, form: Form) -> Option<Vec<u8>> {
        let mut message = response(0);
        message.answers = records::all(self, form).ok()?;
        message.to_vec().ok()
    }

    /// Asks whether anybody has its names already, and says what it would like to have.
    pub fn probe(&self) -> Option<Vec<u8>> {
        let mut message = Message::new(0, MessageType::Query, OpCode::Query);
        for name in self.names()? {
            message.queries.push(op::Query::query(name, RecordType::ANY));
        }
        message.authorities = records::all(self, Form::Proposed).ok()?;
        message.to_vec().ok()
    }

    /// Answers a question. Returns none if it is not about this node, or whoever asks knows it. `legacy` tells that it was
    /// asked from another port than that of multicast DNS.
    pub fn reply(&self, query: &Query, legacy: bool) -> Option<Vec<u8>> {
        let form = if legacy { Form::Legacy } else { Form::Multicast };
        let asks = |record: &Record| {
            query.questions.iter().any(|question| {
                let kind = question.query_type();
                let class = question.query_class();
                *question.name() == record.name
                    && (kind == record.record_type() || kind == RecordType::ANY)
                    && matches!(class, DNSClass::IN | DNSClass::ANY)
            })
        };
        let is_known = |record: &Record| {
            let mut known = query.known.iter();
            known.any(|known| {
                known.name == record.name && known.data == record.data && known.ttl >= record.ttl / 2
            })
        };
        let all = records::all(self, form).ok()?;
        let (asked, others): (Vec<_>, Vec<_>) = all.into_iter().partition(asks);
        let mut message = response(if legacy { query.id } else { 0 });
        message.answers = asked.into_iter().filter(|record| !is_known(record)).collect();
        // Others are there to be kept, too; on their own they answer nothing.
        message.answers.extend(
            records::listed(form)
                .ok()
                .filter(|listed| asks(listed) && !is_known(listed)),
        );
        if message.answers.is_empty() {
            return None;
        }
        message.additionals = others;
        if legacy {
            message.queries.clone_from(&query.questions);
            for question in &mut message.queries {
                question.set_mdns_unicast_response(false);
            }
        }
        message.to_vec().ok()
    }

    /// Returns true if somebody else says something about names that are this node's alone.
    pub fn conflicts_with(&self, response: &Response) -> bool {
        let Ok(own) = records::all(self, Form::Multicast) else {
            return false;
        };
        let Some(names) = self.names() else {
            return false;
        };
        response.records.iter().any(|record| {
            let kind = record.record_type();
            let ours = |own: &&Record| own.name == record.name && own.record_type() == kind;
            record.ttl > 0
                && names.contains(&record.name)
                && own.iter().any(|own| ours(&own))
                && !own.iter().filter(ours).any(|own| own.data == record.data)
        })
    }

    /// Compares what this node would like to have with what another one would: the later one gets it (RFC 6762, section
    /// 8.2). Returns none if it is about other names, or the same.
    pub fn contest(&self, query: &Query) -> Option<Ordering> {
        let names = self.names()?;
        let about = |record: &&Record| names.contains(&record.name);
        if !query.proposed.iter().any(|record| about(&record)) {
            return None;
        }
        let own = records::all(self, Form::Proposed).ok()?;
        let own = sorted(own.iter())?;
        let other = sorted(query.proposed.iter().filter(about))?;
        match own.cmp(&other) {
            Ordering::Equal => None,
            order => Some(order),
        }
    }

    /// Returns the names that are this node's alone.
    fn names(&self) -> Option<[Name; 2]> {
        Some([
            records::instance(&self.label).ok()?,
            records::host(&self.label).ok()?,
        ])
    }
}

impl Query {
    /// Returns true if the answer is to go to whoever asks, and nobody else.
    pub fn wants_unicast(&self) -> bool {
        !self.questions.is_empty() && self.questions.iter().all(op::Query::mdns_unicast_response)
    }

    /// Returns true if it asks whether names are free.
    pub fn is_probe(&self) -> bool {
        !self.proposed.is_empty()
    }
}

fn response(id: u16) -> Message {
    let mut message = Message::new(id, MessageType::Response, OpCode::Query);
    message.metadata.authoritative = true;
    message
}

/// Sorts records as they are compared: by class, type and bytes.
fn sorted<'a>(records: impl Iterator<Item = &'a Record>) -> Option<Vec<(u16, u16, Vec<u8>)>> {
    let mut all = Vec::new();
    for record in records {
        let class = u16::from(record.dns_class);
        let kind = u16::from(record.record_type());
        all.push((class, kind, record.data.to_bytes().ok()?));
    }
    all.sort();
    Some(all)
}
