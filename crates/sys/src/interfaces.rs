//! The network interfaces of the computer that a tool runs on.

use std::io;
use std::net::IpAddr;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::{InterfaceFlags, if_nametoindex};

/// An address of an interface by which others are reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// The interface's name.
    pub name: String,
    /// The kernel's number for it.
    pub index: u32,
    /// The address.
    pub address: IpAddr,
}

/// Lists the addresses of all interfaces that are switched on and can send to groups: one of each family of an interface, a
/// link-local one of IPv6.
pub fn interfaces() -> io::Result<Vec<Interface>> {
    let wanted = InterfaceFlags::IFF_UP | InterfaceFlags::IFF_MULTICAST;
    let mut found: Vec<Interface> = Vec::new();
    for one in getifaddrs()? {
        if !one.flags.contains(wanted) || one.flags.contains(InterfaceFlags::IFF_LOOPBACK) {
            continue;
        }
        let Some(storage) = one.address else {
            continue;
        };
        let address: IpAddr = match (storage.as_sockaddr_in(), storage.as_sockaddr_in6()) {
            (Some(v4), _) => v4.ip().into(),
            (_, Some(v6)) if v6.ip().is_unicast_link_local() => v6.ip().into(),
            _ => continue,
        };
        let twin = |other: &Interface| {
            other.name == one.interface_name && other.address.is_ipv4() == address.is_ipv4()
        };
        if found.iter().any(twin) {
            continue;
        }
        let index = if_nametoindex(one.interface_name.as_str())?;
        found.push(Interface {
            name: one.interface_name,
            index,
            address,
        });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_of_them_is_the_machine_s_link_to_itself() {
        for found in interfaces().unwrap() {
            assert!(!found.address.is_loopback() && found.index > 0, "{found:?}");
        }
    }
}
