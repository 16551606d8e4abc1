//! The kernel's messages about added and removed devices.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};

use crate::{Context, Result};

/// Receives uevents. Non-blocking: wait for it to be readable first.
#[derive(Debug)]
pub struct Uevents {
    socket: OwnedFd,
}

impl Uevents {
    /// Opens the socket; events from now on are kept until read.
    pub fn open() -> Result<Self> {
        let action = || "listen for device events".to_owned();
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let protocol = SockProtocol::NetlinkKObjectUEvent;
        let socket = socket(AddressFamily::Netlink, SockType::Datagram, flags, protocol).context(action)?;
        // Group 1 is the kernel's own; group 2 is udev's, which is not used here.
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 1)).context(action)?;
        Ok(Uevents { socket })
    }

    /// Receives one message: an action and path, then `KEY=value` strings, each ended by NUL.
    ///
    /// Fails with `WouldBlock` when there is none, and with `ENOBUFS` when some were lost.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(recv(self.socket.as_raw_fd(), buffer, MsgFlags::empty())?)
    }
}

impl From<Uevents> for OwnedFd {
    fn from(events: Uevents) -> OwnedFd {
        events.socket
    }
}

impl AsFd for Uevents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
