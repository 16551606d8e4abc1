//! The records by which a node says what it says.

use std::net::IpAddr;

use hickory_proto::ProtoError;
use hickory_proto::rr::rdata::{PTR, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record};

use crate::{Announcement, text};

/// The labels of the service's name.
const SERVICE: [&[u8]; 3] = [b"_bedplate", b"_tcp", b"local"];
/// The labels of the name under which services are listed.
const SERVICES: [&[u8]; 4] = [b"_services", b"_dns-sd", b"_udp", b"local"];
/// How long a record may be kept that is about a host, and any other one, in seconds (RFC 6762, section 10).
const HOST_TTL: u32 = 120;
const OTHER_TTL: u32 = 4500;

/// How the records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// For all, who replace what they knew before.
    Multicast,
    /// For who does not speak multicast DNS (RFC 6762, section 6.7).
    Legacy,
    /// As what a node would like to have (section 8.2).
    Proposed,
    /// As what is no longer (section 10.1).
    Goodbye,
}

/// Returns the name of the service, under which its instances are listed.
pub(crate) fn service() -> Result<Name, ProtoError> {
    Name::from_labels(SERVICE)
}

/// Returns the name under which services are listed.
pub(crate) fn services() -> Result<Name, ProtoError> {
    Name::from_labels(SERVICES)
}

/// Returns the name of the node as an instance of the service.
pub(crate) fn instance(label: &str) -> Result<Name, ProtoError> {
    Name::from_labels([label.as_bytes()].into_iter().chain(SERVICE))
}

/// Returns the name of the node as a host.
pub(crate) fn host(label: &str) -> Result<Name, ProtoError> {
    Name::from_labels([label.as_bytes(), b"local"])
}

/// Returns what is listed under the name of all services.
pub(crate) fn listed(form: Form) -> Result<Record, ProtoError> {
    Ok(record(
        form,
        services()?,
        OTHER_TTL,
        RData::PTR(PTR(service()?)),
        false,
    ))
}

/// Makes all records of an announcement: the shared one first, then those that nobody else may have.
pub(crate) fn all(announcement: &Announcement, form: Form) -> Result<Vec<Record>, ProtoError> {
    let label = &announcement.label;
    let (instance, host) = (instance(label)?, host(label)?);
    let pointer = RData::PTR(PTR(instance.clone()));
    let server = RData::SRV(SRV::new(0, 0, announcement.port, host.clone()));
    let lines = text::write(announcement);
    let text = RData::TXT(TXT::from_bytes(lines.iter().map(String::as_bytes).collect()));
    let mut records = Vec::new();
    if form != Form::Proposed {
        records.push(record(form, service()?, OTHER_TTL, pointer, false));
    }
    records.push(record(form, instance.clone(), HOST_TTL, server, true));
    records.push(record(form, instance, OTHER_TTL, text, true));
    for address in &announcement.addresses {
        let data = match *address {
            IpAddr::V4(v4) => RData::A(v4.into()),
            IpAddr::V6(v6) => RData::AAAA(v6.into()),
        };
        records.push(record(form, host.clone(), HOST_TTL, data, true));
    }
    Ok(records)
}

fn record(form: Form, name: Name, ttl: u32, data: RData, unique: bool) -> Record {
    let ttl = match form {
        Form::Multicast | Form::Proposed => ttl,
        Form::Legacy => ttl.min(10),
        Form::Goodbye => 0,
    };
    let mut record = Record::from_rdata(name, ttl, data);
    record.mdns_cache_flush = unique && matches!(form, Form::Multicast | Form::Goodbye);
    record
}
