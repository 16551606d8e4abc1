//! Decodes names and name servers of IPv6 routers and DHCP servers.

use std::net::Ipv6Addr;

use machine_config::value::Host;

/// The most entries of a list that are used.
pub(super) const LIST: usize = 16;

/// Reads a list of domain names, each a sequence of length-prefixed labels that ends with an empty one (RFC 1035, 3.1).
///
/// Names are not compressed here. Invalid names are ignored, as is padding with zeros.
pub(super) fn decode(mut bytes: &[u8]) -> Vec<Host> {
    let mut names = Vec::new();
    let mut labels: Vec<String> = Vec::new();
    while let Some((length, rest)) = bytes.split_first() {
        let Some((label, after)) = rest.split_at_checked(usize::from(*length)) else {
            break;
        };
        bytes = after;
        if !label.is_empty() {
            labels.push(String::from_utf8_lossy(label).into_owned());
            continue;
        }
        let name = std::mem::take(&mut labels).join(".");
        // A label may contain anything, even a dot: only valid names are accepted, and no addresses.
        let name: Option<Host> = name.parse().ok();
        names.extend(name.filter(|name| name.as_str().parse::<std::net::IpAddr>().is_err()));
        if names.len() == LIST {
            break;
        }
    }
    names
}

/// Reads the same list with compressed names (RFC 1035, 4.1.4).
pub(super) fn decode_shortened(bytes: &[u8]) -> Vec<Host> {
    /// The longest name; a valid list needs no more references either.
    const LONGEST: usize = 255;
    let mut whole: Vec<u8> = Vec::new();
    let mut at = 0;
    while at < bytes.len() && whole.len() < LIST * LONGEST {
        let (mut from, mut next) = (at, None);
        let start = whole.len();
        // References lead backwards, so that there are no cycles.
        while let Some(length) = bytes.get(from) {
            if length & 0xc0 == 0xc0 {
                let low = bytes.get(from + 1).copied().unwrap_or(u8::MAX);
                let target = usize::from(u16::from_be_bytes([length & 0x3f, low]));
                next = next.or(Some(from + 2));
                if target >= from {
                    break;
                }
                from = target;
                continue;
            }
            let end = from + 1 + usize::from(*length);
            whole.extend(bytes.get(from..end).unwrap_or_default());
            from = end;
            if *length == 0 || whole.len() - start > LONGEST {
                break;
            }
        }
        // A name without an end stops the decoding.
        if whole.last() != Some(&0) {
            whole.truncate(start);
            break;
        }
        at = next.unwrap_or(from);
    }
    decode(&whole)
}

/// Returns true if an address can be a server's.
pub(super) fn is_server(address: &Ipv6Addr) -> bool {
    !address.is_unspecified() && !address.is_loopback() && !address.is_multicast()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_names_are_taken() {
        let cases: &[(&[u8], &[&str])] = &[
            (b"\x03lab\x07example\x00", &["lab.example"]),
            (b"\x01a\x00\x01b\x00\x00\x00\x00", &["a", "b"]),
            (b"\x01a", &[]),
            (b"\x09short\x00", &[]),
            (b"\x05a b\nc\x00\x02ok\x00", &["ok"]),
            (b"\x0210\x010\x010\x011\x00", &[]),
            (b"\xc0\x0c\x00", &[]),
            (b"", &[]),
        ];
        for (bytes, expected) in cases {
            let found = decode(bytes);
            assert_eq!(
                found.iter().map(Host::as_str).collect::<Vec<_>>(),
                *expected,
                "{bytes:?}"
            );
        }
        assert_eq!(decode(&b"\x01a\x00".repeat(100)).len(), LIST);
    }

    #[test]
    fn references_lead_backwards_only() {
        let cases: &[(&[u8], &[&str])] = &[
            (
                b"\x03lab\x07example\x00\x01a\xc0\x04",
                &["lab.example", "a.example"],
            ),
            (b"\x01a\xc0\x00", &[]),
            (b"\xc0\x00", &[]),
            (b"\x01a\xc0\x09\x00", &[]),
            (b"\x01a\x00\x01b\xc0", &["a"]),
        ];
        for (bytes, expected) in cases {
            let found = decode_shortened(bytes);
            assert_eq!(
                found.iter().map(Host::as_str).collect::<Vec<_>>(),
                *expected,
                "{bytes:?}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn no_list_panics(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
            proptest::prop_assert!(decode(&bytes).len() <= LIST);
            proptest::prop_assert!(decode_shortened(&bytes).len() <= LIST);
        }
    }
}
