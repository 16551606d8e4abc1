//! Options of IPv6 router advertisements, and soliciting them.

use std::net::Ipv6Addr;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, SockaddrIn6, bind, sendto,
    setsockopt, socket, sockopt,
};

use crate::{Context, Result};

/// `RTNLGRP_ND_USEROPT` of `linux/rtnetlink.h`, as a bit of the groups to listen to.
const USER_OPTIONS: u32 = 1 << 19;
/// A router solicitation without options, RFC 4861, 4.1. The kernel fills in the checksum.
const SOLICITATION: [u8; 8] = [133, 0, 0, 0, 0, 0, 0, 0];
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
/// Neighbour discovery accepts only messages that no router has forwarded.
const HOPS: i32 = 255;

/// Receives the options of router advertisements that the kernel leaves to programs, as rtnetlink messages.
///
/// As a descriptor it is read one datagram at a time, and is non-blocking. A read fails with `ENOBUFS` when some were
/// lost; routers will send them again.
#[derive(Debug)]
pub struct UserOptions {
    socket: OwnedFd,
}

impl UserOptions {
    /// Opens the socket; options from now on are kept until read.
    pub fn open() -> Result<Self> {
        let action = || "listen for options of IPv6 routers".to_owned();
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let protocol = SockProtocol::NetlinkRoute;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol).context(action)?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, USER_OPTIONS)).context(action)?;
        Ok(UserOptions { socket })
    }
}

impl From<UserOptions> for OwnedFd {
    fn from(options: UserOptions) -> OwnedFd {
        options.socket
    }
}

/// Asks the routers on an interface, by its number, to send their periodic advertisements at once.
pub fn solicit(index: u32) -> Result<()> {
    let action = || format!("ask the IPv6 routers on interface {index}");
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Inet6, SockType::Raw, flags, SockProtocol::IcmpV6).context(action)?;
    setsockopt(&socket, sockopt::Ipv6MulticastHops, &HOPS).context(action)?;
    let routers = SockaddrIn6::from(std::net::SocketAddrV6::new(ALL_ROUTERS, 0, 0, index));
    sendto(socket.as_raw_fd(), &SOLICITATION, &routers, MsgFlags::empty()).context(action)?;
    Ok(())
}
