//! Addresses of nodes: `host`, `host:port`, `10.0.0.2`, `fe80::1`, `[fe80::1]:50000`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use rustls::pki_types::ServerName;

/// A host and a port; the API's port if omitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
}

/// A text that is not an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the address of a node; use HOST, HOST:PORT or [IPv6]:PORT")]
pub struct BadAddress(String);

impl Address {
    /// Returns the host, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the name the node's certificate must be valid for.
    pub fn server_name(&self) -> ServerName<'static> {
        let name = ServerName::try_from(self.host.clone());
        name.expect("parsing lets only names and addresses through")
    }
}

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let wrong = || BadAddress(text.to_owned());
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (host, rest) = rest.split_once(']').ok_or_else(wrong)?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| wrong())?;
            (
                host,
                if rest.is_empty() {
                    None
                } else {
                    Some(rest.strip_prefix(':').ok_or_else(wrong)?)
                },
            )
        } else if text.parse::<IpAddr>().is_ok() {
            (text, None)
        } else {
            match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            }
        };
        let port = port.map_or(Ok(api::PORT), |port| port.parse().map_err(|_| wrong()))?;
        ServerName::try_from(host).map_err(|_| wrong())?;
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_port_may_be_left_out() {
        let cases = [
            ("node1", "node1:50000"),
            ("node1.lan:6", "node1.lan:6"),
            ("10.0.0.2", "10.0.0.2:50000"),
            ("10.0.0.2:1", "10.0.0.2:1"),
            ("fe80::1", "[fe80::1]:50000"),
            ("[fe80::1]", "[fe80::1]:50000"),
            ("[fe80::1]:7", "[fe80::1]:7"),
        ];
        for (text, shown) in cases {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), shown);
        }
        for text in ["", ":1", "a:b", "[x]:1", "[::1]7", "a b", "https://a", "a:70000"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read(text in "\\PC{0,30}") {
            if let Ok(address) = text.parse::<Address>() {
                prop_assert_eq!(address.to_string().parse::<Address>().unwrap(), address.clone());
                let _ = address.server_name();
            }
        }
    }
}
