//! Checks the reply of a DHCP server. Anybody on the network may have sent it: nothing in it is trusted unchecked.
//!
//! Only an address that no node can have makes a lease unusable. Anything else that is wrong is ignored, or replaced by the
//! default of the standards, and reported in the lease's remarks.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use machine_config::value::{Host, HostName, IpPrefix};
use state::kinds::{DhcpLease, LeaseRoute};

use super::super::from_leases::LEAST_DHCP_MTU;
use super::super::names::{self, LIST};
use super::message::{Answer, option};

/// The lease time if the server gives none: an hour, as in other clients.
const DEFAULT_SECONDS: u32 = 3600;

/// Why a lease cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// The address is not one a node can have.
    #[error("{0} is not an address a node can have")]
    Address(Ipv4Addr),
}

/// When a lease is renewed and when it ends, in seconds from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Terms {
    /// When the server that gave it is asked again (T1).
    pub renewal: u32,
    /// When any server is asked (T2).
    pub rebinding: u32,
    /// When it ends.
    pub end: u32,
}

/// Extracts what is usable from an offer or a lease.
pub(super) fn check(answer: &Answer) -> Result<(DhcpLease, Terms), LeaseError> {
    let address = answer.address;
    if !is_host(address) {
        return Err(LeaseError::Address(address));
    }
    let mut options = Options {
        all: &answer.options,
        remarks: Vec::new(),
    };
    let length = options.mask(address);
    let terms = options.terms();
    let lease = DhcpLease {
        address: IpPrefix {
            address: address.into(),
            length,
        },
        routes: options.routes(),
        nameservers: options.hosts(option::NAME_SERVERS, "name servers"),
        search: options.search(),
        time_servers: options.hosts(option::TIME_SERVERS, "time servers"),
        hostname: options.hostname(),
        mtu: options.mtu(),
        server: answer.server().unwrap_or(Ipv4Addr::UNSPECIFIED),
        seconds: terms.end,
        remarks: options.remarks,
    };
    Ok((lease, terms))
}

/// Reads options, and collects what is wrong with them.
struct Options<'a> {
    all: &'a BTreeMap<u8, Vec<u8>>,
    remarks: Vec<String>,
}

impl Options<'_> {
    fn remark(&mut self, sentence: String) {
        if self.remarks.len() < LIST {
            self.remarks.push(sentence);
        }
    }

    fn bytes(&self, code: u8) -> Option<&[u8]> {
        self.all.get(&code).map(Vec::as_slice)
    }

    /// Returns the bytes of an option of a fixed length; another length is noted.
    fn fixed<const N: usize>(&mut self, code: u8, what: &str) -> Option<[u8; N]> {
        let bytes = self.bytes(code)?;
        let (fixed, length) = (bytes.try_into().ok(), bytes.len());
        if fixed.is_none() {
            self.remark(format!("{what} of {length} bytes is left out: it has {N}"));
        }
        fixed
    }

    fn seconds(&mut self, code: u8, what: &str) -> Option<u32> {
        let seconds = self.fixed(code, what).map(u32::from_be_bytes);
        // Some servers write zero for "decide yourself".
        seconds.filter(|seconds| *seconds > 0)
    }

    /// Without a mask the class of the address determines the network, as in RFC 950 and in other clients.
    fn mask(&mut self, address: Ipv4Addr) -> u8 {
        let class = match address.octets()[0] {
            0..128 => 8,
            128..192 => 16,
            _ => 24,
        };
        let Some(mask) = self.fixed(option::MASK, "a network mask").map(u32::from_be_bytes) else {
            self.remark(format!("no network mask: by its class the address has /{class}"));
            return class;
        };
        if mask == 0 || mask.leading_ones() + mask.trailing_zeros() != 32 {
            let mask = Ipv4Addr::from_bits(mask);
            self.remark(format!(
                "{mask} is not a network mask: by its class the address has /{class}"
            ));
            return class;
        }
        mask.leading_ones() as u8
    }

    /// RFC 2131, 4.4.5: T1 is before T2, and T2 before the end; else they are half and seven eighths of the time.
    fn terms(&mut self) -> Terms {
        let end = self.seconds(option::LEASE_TIME, "a lease time");
        if end.is_none() {
            self.remark("no lease time: an hour is assumed".to_owned());
        }
        let end = end.unwrap_or(DEFAULT_SECONDS);
        let eighths = |count: u64| u32::try_from(u64::from(end) * count / 8).unwrap_or(end);
        let (half, late) = (eighths(4), eighths(7));
        let renewal = self.seconds(option::RENEWAL, "a renewal time");
        let rebinding = self.seconds(option::REBINDING, "a rebinding time");
        let (t1, t2) = (renewal.unwrap_or(half), rebinding.unwrap_or(late));
        if t1 < t2 && t2 < end {
            return Terms {
                renewal: t1,
                rebinding: t2,
                end,
            };
        }
        if renewal.or(rebinding).is_some() {
            self.remark(format!(
                "renewal after {t1} s and rebinding after {t2} s do not fit into {end} s: {half} s and {late} s are taken"
            ));
        }
        Terms {
            renewal: half,
            rebinding: late,
            end,
        }
    }

    /// RFC 3442: where there are classless routes, the router option does not count.
    fn routes(&mut self) -> Vec<LeaseRoute> {
        let default = IpPrefix {
            address: Ipv4Addr::UNSPECIFIED.into(),
            length: 0,
        };
        let classless = self
            .bytes(option::ROUTES)
            .or(self.bytes(option::MICROSOFT_ROUTES));
        if let Some(bytes) = classless {
            match classless_routes(bytes) {
                Some(routes) => return routes,
                None => self.remark("classless routes that cannot be read are left out".to_owned()),
            }
        }
        let routers = self.hosts(option::ROUTERS, "routers");
        let route = |via| LeaseRoute {
            to: default,
            via: Some(via),
        };
        routers.into_iter().take(1).map(route).collect()
    }

    fn hosts(&mut self, code: u8, what: &str) -> Vec<IpAddr> {
        let (addresses, rest) = self.bytes(code).unwrap_or_default().as_chunks::<4>();
        let all: Vec<Ipv4Addr> = addresses.iter().map(|bytes| Ipv4Addr::from(*bytes)).collect();
        let usable: Vec<IpAddr> = all
            .iter()
            .filter(|address| is_host(**address))
            .map(|address| IpAddr::from(*address))
            .take(LIST)
            .collect();
        if !rest.is_empty() || usable.len() < all.len() {
            self.remark(format!("{what} that are no addresses of hosts are left out"));
        }
        usable
    }

    fn search(&mut self) -> Vec<Host> {
        let listed = self.bytes(option::SEARCH).map(names::decode_shortened);
        let text = self.bytes(option::DOMAIN).map(shown);
        let mut search = listed.unwrap_or_default();
        if let Some(text) = text {
            match domain_name(&text) {
                Some(domain) if !search.contains(&domain) => search.push(domain),
                Some(_) => {}
                None => self.remark(format!("the domain {text:?} is left out: it is no name")),
            }
        }
        search.truncate(LIST);
        search
    }

    fn hostname(&mut self) -> Option<HostName> {
        let text = shown(self.bytes(option::HOST_NAME)?);
        let name = text.parse().ok();
        if name.is_none() {
            let reason = if text.contains('_') {
                "an underscore cannot be part of a host name"
            } else if text
                .split('.')
                .next()
                .is_some_and(|first| first.eq_ignore_ascii_case("localhost"))
            {
                "every machine calls itself so"
            } else {
                "it is not a host name"
            };
            self.remark(format!("the host name {text:?} is left out: {reason}"));
        }
        name
    }

    fn mtu(&mut self) -> Option<u32> {
        let mtu = self.fixed(option::MTU, "a packet size").map(u16::from_be_bytes)?;
        let mtu = u32::from(mtu);
        if mtu < LEAST_DHCP_MTU {
            self.remark(format!(
                "a packet size of {mtu} bytes is left out: IPv6 needs {LEAST_DHCP_MTU}"
            ));
            return None;
        }
        Some(mtu)
    }
}

/// Reads routes as RFC 3442 writes them: the length of the prefix, as many bytes as it fills, the router.
fn classless_routes(mut bytes: &[u8]) -> Option<Vec<LeaseRoute>> {
    let mut routes = Vec::new();
    while let Some((length, rest)) = bytes.split_first() {
        let significant = usize::from(length.div_ceil(8));
        let (prefix, rest) = rest.split_at_checked(significant).filter(|_| *length <= 32)?;
        let (router, rest) = rest.split_first_chunk::<4>()?;
        let mut address = [0; 4];
        address[..significant].copy_from_slice(prefix);
        let router = Ipv4Addr::from(*router);
        let to = IpPrefix {
            address: Ipv4Addr::from(address).into(),
            length: *length,
        };
        if routes.len() < LIST {
            routes.push(LeaseRoute {
                to: to.network(),
                via: is_host(router).then_some(router.into()),
            });
        }
        bytes = rest;
    }
    Some(routes)
}

fn is_host(address: Ipv4Addr) -> bool {
    let reserved = address.octets()[0] == 0 || address.octets()[0] >= 240;
    !reserved && !address.is_loopback() && !address.is_multicast()
}

/// Returns a text for display. Servers end texts with zeros, and domains with dots.
fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_end_matches('\0').trim_end_matches('.');
    text.chars().take(100).collect()
}

fn domain_name(text: &str) -> Option<Host> {
    let host: Host = text.parse().ok()?;
    host.as_str().parse::<IpAddr>().is_err().then_some(host)
}

#[cfg(test)]
mod tests;
