//! Name servers and domains that IPv6 routers name in their advertisements: options that the kernel hands on unread.

use std::net::Ipv6Addr;
use std::time::Duration;

use machine_config::value::Host;

use super::super::names;

/// `RTM_NEWNDUSEROPT` of `linux/rtnetlink.h`.
const NEW_USER_OPTION: u16 = 68;
/// The lengths of `struct nlmsghdr` and `struct nduseroptmsg`.
const HEADER: usize = 16;
const HEAD: usize = 16;
const ROUTER_ADVERTISEMENT: u8 = 134;
/// RFC 8106: recursive DNS servers, and the DNS search list.
const SERVERS: u8 = 25;
const DOMAINS: u8 = 31;
/// The lifetime that never ends.
const FOREVER: u32 = u32::MAX;

/// One option: what the router names, and for how long it may be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    /// The number of the interface it came in on.
    pub index: u32,
    /// How long it holds; none means forever, zero no longer.
    pub lifetime: Option<Duration>,
    /// What is named.
    pub what: What,
}

/// What a router names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// Name servers.
    Servers(Vec<Ipv6Addr>),
    /// Domains to search names in.
    Domains(Vec<Host>),
}

/// Reads the messages of one datagram. Written by whoever sends advertisements: what is cut short ends the reading,
/// and what is no name server or domain is left out.
pub(super) fn read(mut datagram: &[u8]) -> Vec<Named> {
    let mut found = Vec::new();
    while let Some(header) = datagram.first_chunk::<HEADER>() {
        let length = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let Some(message) = datagram.get(HEADER..length) else {
            break;
        };
        if u16::from_ne_bytes([header[4], header[5]]) == NEW_USER_OPTION {
            options(message, &mut found);
        }
        let next = length.next_multiple_of(4);
        datagram = datagram.get(next..).unwrap_or_default();
    }
    found
}

fn options(message: &[u8], found: &mut Vec<Named>) {
    let Some(head) = message.first_chunk::<HEAD>() else {
        return;
    };
    let length = usize::from(u16::from_ne_bytes([head[2], head[3]]));
    let index = i32::from_ne_bytes([head[4], head[5], head[6], head[7]]);
    let (Ok(index), ROUTER_ADVERTISEMENT) = (u32::try_from(index), head[8]) else {
        return;
    };
    let mut rest = message.get(HEAD..HEAD + length).unwrap_or_default();
    // An option's length counts units of eight bytes, its first two bytes included.
    while let Some([kind, units, ..]) = rest.first_chunk::<8>() {
        let Some((option, after)) = rest
            .split_at_checked(usize::from(*units) * 8)
            .filter(|_| *units > 0)
        else {
            return;
        };
        found.extend(named(index, *kind, option));
        rest = after;
    }
}

fn named(index: u32, kind: u8, option: &[u8]) -> Option<Named> {
    let (head, body) = option.split_first_chunk::<8>()?;
    let seconds = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
    let what = match kind {
        SERVERS => What::Servers(servers(body)),
        DOMAINS => What::Domains(names::decode(body)),
        _ => return None,
    };
    let lifetime = (seconds != FOREVER).then(|| Duration::from_secs(seconds.into()));
    Some(Named {
        index,
        lifetime,
        what,
    })
}

fn servers(body: &[u8]) -> Vec<Ipv6Addr> {
    let (addresses, _) = body.as_chunks::<16>();
    let all = addresses.iter().map(|bytes| Ipv6Addr::from(*bytes));
    all.filter(names::is_server).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(index: i32, options: &[u8]) -> Vec<u8> {
        let mut message = Vec::new();
        message.extend(
            u32::try_from(HEADER + HEAD + options.len())
                .unwrap()
                .to_ne_bytes(),
        );
        message.extend(NEW_USER_OPTION.to_ne_bytes());
        message.resize(HEADER, 0);
        message.extend([10, 0]);
        message.extend(u16::try_from(options.len()).unwrap().to_ne_bytes());
        message.extend(index.to_ne_bytes());
        message.push(ROUTER_ADVERTISEMENT);
        message.resize(HEADER + HEAD, 0);
        message.extend(options);
        message
    }

    fn option(kind: u8, seconds: u32, body: &[u8]) -> Vec<u8> {
        let mut option = vec![kind, u8::try_from(1 + body.len() / 8).unwrap(), 0, 0];
        option.extend(seconds.to_be_bytes());
        option.extend(body);
        option
    }

    #[test]
    fn servers_and_domains_are_read_with_their_time() {
        let server: Ipv6Addr = "2001:db8::53".parse().unwrap();
        let mut options = option(SERVERS, 600, &[server.octets(), [0; 16]].concat());
        options.extend(option(DOMAINS, FOREVER, b"\x03lab\x07example\x00\x00\x00\x00"));
        options.extend(option(99, 1, &[]));
        let named = |lifetime, what| Named {
            index: 3,
            lifetime,
            what,
        };
        assert_eq!(
            read(&message(3, &options)),
            [
                named(Some(Duration::from_secs(600)), What::Servers(vec![server])),
                named(None, What::Domains(vec!["lab.example".parse().unwrap()])),
            ]
        );
    }

    #[test]
    fn what_is_cut_short_or_of_no_length_ends_the_reading() {
        let whole = message(3, &option(SERVERS, 600, &[1; 16]));
        for end in 0..whole.len() {
            assert_eq!(read(&whole[..end]), []);
        }
        assert_eq!(read(&message(3, &[SERVERS, 0, 0, 0, 0, 0, 0, 9])), []);
    }

    proptest! {
        #[test]
        fn no_input_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400), options in proptest::collection::vec(any::<u8>(), 0..400)) {
            read(&bytes);
            for named in read(&message(1, &options)) {
                let What::Domains(domains) = named.what else { continue };
                prop_assert!(domains.iter().all(|name| !name.as_str().contains(char::is_whitespace)));
            }
        }
    }
}
