//! The bridge that workloads are at.

use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use async_trait::async_trait;
use rtnetlink::LinkBridge;

use super::BRIDGE;
use super::netlink::{EEXIST, Netlink, hardware_address, kernel_error};

/// The kernel did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum BridgeError {
    /// It refuses the bridge.
    #[error("cannot make or remove the bridge {BRIDGE}")]
    Link(#[source] io::Error),
    /// It refuses the address.
    #[error("cannot give {0} to the bridge {BRIDGE}")]
    Address(Ipv4Addr, #[source] io::Error),
    /// It refuses a setting.
    #[error("cannot set {0}")]
    Setting(String, #[source] io::Error),
}

/// A bridge.
#[async_trait]
pub trait Bridge: Send + Sync {
    /// Makes the bridge where it is not there, with one IPv4 address in a network of that prefix.
    async fn make(&self, address: Ipv4Addr, length: u8) -> Result<(), BridgeError>;

    /// Removes the bridge. It need not be there.
    async fn remove(&self) -> Result<(), BridgeError>;
}

/// That of the kernel, in the network namespace of the thread that asks for it.
#[derive(Debug, Clone, Default)]
pub struct LinuxBridge;

#[async_trait]
impl Bridge for LinuxBridge {
    async fn make(&self, address: Ipv4Addr, length: u8) -> Result<(), BridgeError> {
        let netlink = Netlink::open().map_err(BridgeError::Link)?;
        // Without an address of its own it would take one of its ports, and another one when that goes.
        let message = LinkBridge::new(BRIDGE).address(hardware_address(address));
        let made = netlink.handle.link().add(message.build()).execute().await;
        match made.map_err(kernel_error) {
            Err(error) if error.raw_os_error() == Some(EEXIST) => {}
            made => made.map_err(BridgeError::Link)?,
        }
        let index = netlink.index(BRIDGE).await.map_err(BridgeError::Link)?;
        let index = index.ok_or_else(|| BridgeError::Link(io::ErrorKind::NotFound.into()))?;
        netlink.up(index).await.map_err(BridgeError::Link)?;
        netlink
            .set_address(index, address, length)
            .await
            .map_err(|error| BridgeError::Address(address, error))?;
        // What the node sends to its own 127.0.0.1 may be for a workload. `rules` refuses it from everybody else.
        let setting = format!("net/ipv4/conf/{BRIDGE}/route_localnet");
        let path = PathBuf::from("/proc/sys").join(&setting);
        std::fs::write(path, "1").map_err(|error| BridgeError::Setting(setting, error))
    }

    async fn remove(&self) -> Result<(), BridgeError> {
        let netlink = Netlink::open().map_err(BridgeError::Link)?;
        netlink.remove(BRIDGE).await.map_err(BridgeError::Link)
    }
}
