//! Addresses of the network and of hardware.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::NotA;

/// An address together with the length of its network's prefix: `10.0.0.2/24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IpPrefix {
    /// The address, with its host part.
    pub address: IpAddr,
    /// The length of the prefix: at most 32, or 128.
    pub length: u8,
}

impl IpPrefix {
    /// Returns the network the address is in: the same prefix, host part zero.
    pub fn network(self) -> Self {
        let address = match self.address {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.length)).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.length)).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
            }
        };
        Self {
            address,
            length: self.length,
        }
    }

    /// Returns true if this is the whole address space: the destination of a default route.
    pub fn is_default(self) -> bool {
        self.length == 0
    }

    /// Returns true if an address is in this prefix's network.
    pub fn contains(self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4()
            && self.network()
                == (Self {
                    address,
                    length: self.length,
                })
                .network()
    }
}

impl fmt::Display for IpPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

impl FromStr for IpPrefix {
    type Err = NotA;

    fn from_str(text: &str) -> Result<Self, NotA> {
        let wrong = NotA("an address; expected IP/prefix");
        let (address, length) = text.split_once('/').ok_or(wrong.clone())?;
        let address: IpAddr = address.parse().map_err(|_| wrong.clone())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let digits = !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit());
        let length = length
            .parse()
            .ok()
            .filter(|length| digits && *length <= most)
            .ok_or(wrong)?;
        Ok(Self { address, length })
    }
}

as_text!(
    IpPrefix,
    r"^[0-9A-Fa-f:.]+/[0-9]{1,3}$",
    "An IPv4 or IPv6 address with the length of its prefix."
);

/// A hardware address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddress(pub [u8; 6]);

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for MacAddress {
    type Err = NotA;

    fn from_str(text: &str) -> Result<Self, NotA> {
        let wrong = NotA("a hardware address; expected six pairs of hex digits, such as 52:54:00:12:34:56");
        let mut bytes = [0; 6];
        let mut pairs = text.split([':', '-']);
        for byte in &mut bytes {
            let pair = pairs
                .next()
                .filter(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit()));
            *byte = pair
                .and_then(|p| u8::from_str_radix(p, 16).ok())
                .ok_or(wrong.clone())?;
        }
        if pairs.next().is_some() {
            Err(wrong)
        } else {
            Ok(Self(bytes))
        }
    }
}

as_text!(
    MacAddress,
    r"^([0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}$",
    "A hardware address, such as 52:54:00:12:34:56."
);
