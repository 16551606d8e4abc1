//! The records themselves.

use std::net::IpAddr;

use hickory_proto::ProtoError;
use hickory_proto::rr::rdata::{CNAME, HINFO, NS, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};

/// How long an answer about the cluster may be kept, in seconds; also one that there is nothing.
pub const TTL: u32 = 5;
/// The version of the specification that the zone follows.
const VERSION: &str = "1.1.0";

/// Returns the record of an address, if it is of the kind that is asked for.
pub(crate) fn address(name: &Name, kind: RecordType, address: IpAddr) -> Option<Record> {
    let data = match (kind, address) {
        (RecordType::A, IpAddr::V4(v4)) => RData::A(v4.into()),
        (RecordType::AAAA, IpAddr::V6(v6)) => RData::AAAA(v6.into()),
        _ => return None,
    };
    Some(record(name, data))
}

/// Returns the record of an address, of the kind that it needs.
pub(crate) fn any_address(name: &Name, address: IpAddr) -> Record {
    let data = match address {
        IpAddr::V4(v4) => RData::A(v4.into()),
        IpAddr::V6(v6) => RData::AAAA(v6.into()),
    };
    record(name, data)
}

/// Returns where a port is served.
pub(crate) fn srv(name: &Name, port: u16, target: &Name) -> Record {
    record(name, RData::SRV(SRV::new(0, 100, port, target.clone())))
}

pub(crate) fn ptr(name: &Name, target: Name) -> Record {
    record(name, RData::PTR(PTR(target)))
}

pub(crate) fn cname(name: &Name, target: Name) -> Record {
    record(name, RData::CNAME(CNAME(target)))
}

pub(crate) fn ns(name: &Name, server: Name) -> Record {
    record(name, RData::NS(NS(server)))
}

pub(crate) fn version(name: &Name) -> Record {
    record(name, RData::TXT(TXT::new(vec![VERSION.to_owned()])))
}

/// Returns the least answer to a question for everything (RFC 8482).
pub(crate) fn minimal(name: &Name) -> Record {
    let text = ("RFC8482".to_owned(), String::new());
    record(name, RData::HINFO(HINFO::new(text.0, text.1)))
}

/// Returns who is responsible for a zone. Its serial never changes: nobody copies the zone.
pub(crate) fn soa(zone: &Name, domain: &Name) -> Record {
    let server = name_server(domain).unwrap_or_else(|_| domain.clone());
    let person = prepend(domain, &["hostmaster"]).unwrap_or_else(|_| domain.clone());
    let data = SOA::new(server, person, 1, 7200, 1800, 86_400, TTL);
    record(zone, RData::SOA(data))
}

/// Returns the name of the cluster's own name server.
pub(crate) fn name_server(domain: &Name) -> Result<Name, ProtoError> {
    prepend(domain, &["ns", "dns"])
}

/// Puts labels in front of a name.
///
/// # Errors
///
/// A label or a name that is too long.
pub(crate) fn prepend(name: &Name, labels: &[&str]) -> Result<Name, ProtoError> {
    labels
        .iter()
        .rev()
        // As bytes: a text would be taken for one with letters of other languages.
        .try_fold(name.clone(), |name, label| name.prepend_label(label.as_bytes()))
}

fn record(name: &Name, data: RData) -> Record {
    Record::from_rdata(name.clone(), TTL, data)
}
