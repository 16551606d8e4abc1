//! The node's own name servers: those that `/etc/resolv.conf` lists.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// The most servers that are asked: as many as the C library takes.
const MOST: usize = 3;
/// The port of DNS.
const PORT: u16 = 53;

/// Lists the name servers of a file, without those that are the service itself: a question would never end. `index` returns the number of
/// an interface.
pub(crate) fn servers(text: &str, own: &[IpAddr], index: impl Fn(&str) -> Option<u32>) -> Vec<SocketAddr> {
    let mut found = Vec::new();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        if words.next() != Some("nameserver") {
            continue;
        }
        let Some(server) = words.next().and_then(|word| server(word, &index)) else {
            continue;
        };
        let ip = server.ip().to_canonical();
        if !own.contains(&ip) && !ip.is_unspecified() && !found.contains(&server) && found.len() < MOST {
            found.push(server);
        }
    }
    found
}

/// Reads `ADDRESS` or `ADDRESS%INTERFACE`.
fn server(word: &str, index: impl Fn(&str) -> Option<u32>) -> Option<SocketAddr> {
    let Some((address, link)) = word.split_once('%') else {
        return Some(SocketAddr::new(word.parse().ok()?, PORT));
    };
    let address: Ipv6Addr = address.parse().ok()?;
    let scope = link.parse().ok().or_else(|| index(link))?;
    Some(SocketAddrV6::new(address, PORT, 0, scope).into())
}

/// Returns the number of an interface of this machine.
pub(crate) fn index(link: &str) -> Option<u32> {
    // A name is one part of a path, and nothing else.
    if link.is_empty() || link.contains('/') || link.starts_with('.') {
        return None;
    }
    let text = std::fs::read_to_string(format!("/sys/class/net/{link}/ifindex")).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_others_are_asked() {
        let own = ["10.96.0.10".parse().unwrap()];
        let index = |link: &str| (link == "eth0").then_some(2);
        let list = |text: &str| -> Vec<String> {
            let all = servers(text, &own, index);
            all.iter().map(ToString::to_string).collect()
        };
        let text = "# nameserver 9.9.9.9\nnameserver 10.96.0.10\nnameserver ::ffff:10.96.0.10\nsearch example.org\nnameserver 192.0.2.53\n\
            nameserver fe80::1%eth0\nnameserver fe80::1%eth9\nnameserver 192.0.2.53\nnameserver nonsense\nnameserver 0.0.0.0\nnameserver\n\
            nameserver 2001:db8::53\nnameserver 192.0.2.54\n";
        assert_eq!(
            list(text),
            ["192.0.2.53:53", "[fe80::1%2]:53", "[2001:db8::53]:53"]
        );
        assert!(list("").is_empty());
        assert_eq!(super::index("../../secret"), None);
    }
}
