//! The end of a workload: a network namespace for its container, with an interface at the bridge.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd as _, AsRawFd as _};

use rtnetlink::packet_route::link::{InfoData, InfoVeth};
use rtnetlink::{LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder};
use serde::{Deserialize, Serialize};
use sys::namespace::NetworkNamespace;

use super::netlink::{Netlink, hardware_address, kernel_error};
use super::{BRIDGE, INTERFACE};

/// The place of a workload on the bridge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Place {
    /// Its address.
    pub address: Ipv4Addr,
    /// The length of the network's prefix.
    pub length: u8,
    /// The node on the bridge.
    pub gateway: Ipv4Addr,
}

/// A workload cannot be connected.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// There is no namespace for it.
    #[error(transparent)]
    Namespace(#[from] sys::Error),
    /// The bridge is gone.
    #[error("there is no bridge {BRIDGE}; it is made again within a minute")]
    NoBridge,
    /// The kernel refuses its interface.
    #[error("cannot connect the workload to the bridge {BRIDGE}")]
    Connect(#[source] io::Error),
    /// The kernel refuses its address or routes.
    #[error("cannot give {0} to the workload")]
    Address(Ipv4Addr, #[source] io::Error),
}

impl Place {
    /// Returns the name of its interface on the node: that of its number in the network.
    fn link(&self) -> String {
        let hosts = u32::MAX.checked_shr(u32::from(self.length)).unwrap_or(0);
        format!("wl{}", self.address.to_bits() & hosts)
    }

    /// Makes a network namespace with an interface at the bridge. It goes with the last process in it.
    ///
    /// # Errors
    ///
    /// There is no bridge, or the kernel refuses.
    pub async fn join(&self) -> Result<NetworkNamespace, JoinError> {
        let namespace = NetworkNamespace::new()?;
        let netlink = Netlink::open().map_err(JoinError::Connect)?;
        let bridge = netlink.index(BRIDGE).await.map_err(JoinError::Connect)?;
        let bridge = bridge.ok_or(JoinError::NoBridge)?;
        let link = self.link();
        // That of a container that was killed goes with its namespace, but not at once.
        netlink.remove(&link).await.map_err(JoinError::Connect)?;
        let inner = LinkMessageBuilder::<LinkUnspec>::new()
            .name(INTERFACE)
            .address(hardware_address(self.address))
            .setns_by_fd(namespace.as_fd().as_raw_fd());
        let pair = LinkVeth::new(&link, INTERFACE)
            .set_info_data(InfoData::Veth(InfoVeth::Peer(inner.build())))
            .controller(bridge)
            .up();
        let made = netlink.handle.link().add(pair.build()).execute().await;
        made.map_err(kernel_error).map_err(JoinError::Connect)?;
        namespace
            .run(|| self.configure())?
            .map_err(|error| JoinError::Address(self.address, error))?;
        Ok(namespace)
    }

    /// Sets up the interface, within its namespace.
    fn configure(&self) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let netlink = Netlink::open()?;
            for name in ["lo", INTERFACE] {
                let index = netlink.index(name).await?.ok_or(io::ErrorKind::NotFound)?;
                if name == INTERFACE {
                    netlink.set_address(index, self.address, self.length).await?;
                }
                netlink.up(index).await?;
            }
            let route = RouteMessageBuilder::<Ipv4Addr>::new().gateway(self.gateway);
            let added = netlink.handle.route().add(route.build());
            added.execute().await.map_err(kernel_error)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_has_a_link_of_its_own_whose_name_is_short_enough() {
        let link = |address: [u8; 4], length| {
            let address = Ipv4Addr::from(address);
            let gateway = address;
            let place = Place {
                address,
                length,
                gateway,
            };
            place.link()
        };
        assert_eq!(link([10, 87, 0, 2], 24), "wl2");
        assert_eq!(link([10, 87, 0, 200], 25), "wl72");
        // An interface's name has 15 characters at most.
        assert_eq!(link([10, 255, 255, 254], 8), "wl16777214");
    }
}
