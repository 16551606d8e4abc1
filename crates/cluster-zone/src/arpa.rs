//! The names of addresses: `1.0.96.10.in-addr.arpa`, and 32 digits in front of `ip6.arpa`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Reads the address that a name stands for. Labels are in lower case, the first one first. Returns none for other names, and for those
/// of whole networks.
pub(crate) fn address(labels: &[&str]) -> Option<IpAddr> {
    match labels {
        [digits @ .., "in-addr", "arpa"] => {
            let bytes: [&str; 4] = digits.try_into().ok()?;
            let mut address = [0; 4];
            for (byte, text) in address.iter_mut().zip(bytes.iter().rev()) {
                *byte = decimal(text)?;
            }
            Some(IpAddr::V4(Ipv4Addr::from(address)))
        }
        [digits @ .., "ip6", "arpa"] => {
            let digits: [&str; 32] = digits.try_into().ok()?;
            let mut bits = 0_u128;
            for text in digits.iter().rev() {
                bits = (bits << 4) | hexadecimal(text)?;
            }
            Some(IpAddr::V6(Ipv6Addr::from(bits)))
        }
        _ => None,
    }
}

/// Reads a byte without leading zeros: each address has one name.
fn decimal(text: &str) -> Option<u8> {
    let plain = text.len() == 1 || !text.starts_with('0');
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| plain && digits)
}

fn hexadecimal(text: &str) -> Option<u128> {
    let mut letters = text.chars();
    let digit = letters.next()?.to_digit(16)?;
    letters.next().is_none().then_some(u128::from(digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_addresses_are_read() {
        let read = |name: &str| address(&name.split('.').collect::<Vec<_>>());
        assert_eq!(read("1.0.96.10.in-addr.arpa"), "10.96.0.1".parse().ok());
        let v6 = "a.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.2.1.0.0.0.0.d.f.ip6.arpa";
        assert_eq!(read(v6), "fd00:12::a".parse().ok());
        for no in [
            "96.10.in-addr.arpa",
            "1.1.0.96.10.in-addr.arpa",
            "01.0.96.10.in-addr.arpa",
            "+1.0.96.10.in-addr.arpa",
            "256.0.96.10.in-addr.arpa",
            "0.d.f.ip6.arpa",
            "in-addr.arpa",
            "example.com",
        ] {
            assert_eq!(read(no), None, "{no}");
        }
    }
}
