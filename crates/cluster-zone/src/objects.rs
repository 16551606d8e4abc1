//! What counts of the API's objects, kept small: a cluster may have tens of thousands of them.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// A service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Service {
    /// What its name stands for.
    pub target: Target,
    /// Its ports.
    #[serde(default, skip_serializing_if = "<[Port]>::is_empty")]
    pub ports: Box<[Port]>,
    /// Set when endpoints that are not ready count as ready.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub publishes_not_ready: bool,
}

/// What the name of a service stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Target {
    /// Its own addresses, one of each family.
    Addresses(Box<[IpAddr]>),
    /// Its endpoints: it is headless.
    Endpoints,
    /// Another name.
    Name(Box<str>),
}

/// A port of a service, or of its endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Port {
    /// Its name; empty for the only port of a service that names none.
    pub name: Box<str>,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its number.
    pub number: u16,
}

/// The protocol of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP, which is the default.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// Returns the label that stands for it in a name.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Protocol::Tcp => "_tcp",
            Protocol::Udp => "_udp",
            Protocol::Sctp => "_sctp",
        }
    }
}

/// A slice of the endpoints of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Slice {
    /// The name of the service, in the same namespace.
    pub service: Box<str>,
    /// The ports of each endpoint.
    #[serde(default, skip_serializing_if = "<[Port]>::is_empty")]
    pub ports: Box<[Port]>,
    /// The endpoints.
    #[serde(default, skip_serializing_if = "<[Endpoint]>::is_empty")]
    pub endpoints: Box<[Endpoint]>,
}

/// An endpoint of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Endpoint {
    /// Its address.
    pub address: IpAddr,
    /// Its host name, where it was given one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<Box<str>>,
    /// Set when it is ready.
    pub ready: bool,
}

impl Endpoint {
    /// Returns the label that tells it from the others of its service.
    pub(crate) fn label(&self) -> String {
        match &self.hostname {
            Some(hostname) => hostname.to_string(),
            None => dashed(self.address),
        }
    }

    /// Tells whether a label, in lower case, is its own.
    pub(crate) fn is_named(&self, label: &str) -> bool {
        match &self.hostname {
            Some(hostname) => hostname.eq_ignore_ascii_case(label),
            None => undashed(label) == Some(self.address),
        }
    }
}

/// Writes an address as one label: `10-0-0-1`, `fd00--1`.
pub(crate) fn dashed(address: IpAddr) -> String {
    address.to_string().replace(['.', ':'], "-")
}

/// Reads an address that is written as one label.
pub(crate) fn undashed(label: &str) -> Option<IpAddr> {
    let v4 = label.replace('-', ".").parse().ok().map(IpAddr::V4);
    v4.or_else(|| label.replace('-', ":").parse().ok().map(IpAddr::V6))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_label() {
        for (address, label) in [
            ("10.0.0.1", "10-0-0-1"),
            ("fd00::1", "fd00--1"),
            ("::1", "--1"),
            ("fd00:1:2:3:4:5:6:7", "fd00-1-2-3-4-5-6-7"),
        ] {
            let address = address.parse().unwrap();
            assert_eq!(dashed(address), label);
            assert_eq!(undashed(label), Some(address));
        }
        for no in [
            "",
            "-",
            "10-0-0",
            "10-0-0-256",
            "10-0-0-01x",
            "my-pet",
            "1-2-3-4-5",
        ] {
            assert_eq!(undashed(no), None, "{no}");
        }
    }
}
