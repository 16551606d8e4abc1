//! What the kernel is asked for by netlink.

use std::io;
use std::net::Ipv4Addr;

use futures::TryStreamExt as _;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::AddressAttribute;
use rtnetlink::{Handle, LinkMessageBuilder, LinkUnspec};
use tokio::task::JoinHandle;

/// The number of an error that says that there is no such interface.
const ENODEV: i32 = 19;
/// The number of an error that says that something is there already.
pub(super) const EEXIST: i32 = 17;

/// A connection to the kernel, in the network namespace of the thread that opened it.
pub(super) struct Netlink {
    pub handle: Handle,
    task: JoinHandle<()>,
}

impl Drop for Netlink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Returns what the kernel said.
pub(super) fn kernel_error(error: rtnetlink::Error) -> io::Error {
    match error {
        rtnetlink::Error::NetlinkError(message) => {
            // The kernel's numbers are negative there.
            io::Error::from_raw_os_error(message.code.map_or(0, |code| code.get().abs()))
        }
        other => io::Error::other(other),
    }
}

impl Netlink {
    /// Opens a connection. Must run inside the async runtime.
    pub(super) fn open() -> io::Result<Self> {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        let task = tokio::spawn(connection);
        Ok(Self { handle, task })
    }

    /// Returns the number of an interface; none if there is none of this name.
    pub(super) async fn index(&self, name: &str) -> io::Result<Option<u32>> {
        let mut found = self.handle.link().get().match_name(name).execute();
        match found.try_next().await.map_err(kernel_error) {
            Ok(message) => Ok(message.map(|message| message.header.index)),
            Err(error) if error.raw_os_error() == Some(ENODEV) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Switches an interface on.
    pub(super) async fn up(&self, index: u32) -> io::Result<()> {
        let message = LinkMessageBuilder::<LinkUnspec>::new().index(index).up();
        let set = self.handle.link().set(message.build());
        set.execute().await.map_err(kernel_error)
    }

    /// Removes an interface. One that is not there is no error.
    pub(super) async fn remove(&self, name: &str) -> io::Result<()> {
        let message = LinkMessageBuilder::<LinkUnspec>::new().name(name);
        let removed = self.handle.link().del_with_message(message.build());
        match removed.execute().await.map_err(kernel_error) {
            Err(error) if error.raw_os_error() == Some(ENODEV) => Ok(()),
            removed => removed,
        }
    }

    /// Gives an interface one IPv4 address, and takes others away.
    pub(super) async fn set_address(&self, index: u32, address: Ipv4Addr, length: u8) -> io::Result<()> {
        let mut all = self.handle.address().get().set_link_index_filter(index).execute();
        let mut there = false;
        while let Some(message) = all.try_next().await.map_err(kernel_error)? {
            let found = message.attributes.iter().find_map(|attribute| match attribute {
                AddressAttribute::Local(found) => Some(*found),
                _ => None,
            });
            if message.header.family != AddressFamily::Inet {
                continue;
            }
            if found == Some(address.into()) && message.header.prefix_len == length {
                there = true;
                continue;
            }
            let removed = self.handle.address().del(message).execute().await;
            removed.map_err(kernel_error)?;
        }
        if there {
            return Ok(());
        }
        let added = self.handle.address().add(index, address.into(), length);
        added.execute().await.map_err(kernel_error)
    }
}

/// Returns the hardware address of whoever has an address on the bridge, so that neighbours need not learn a new one when a
/// workload starts again. The second lowest bit says that nobody sold it.
pub(super) fn hardware_address(address: Ipv4Addr) -> Vec<u8> {
    let [a, b, c, d] = address.octets();
    vec![0x0a, 0x58, a, b, c, d]
}
