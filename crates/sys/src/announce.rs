// UNSAFETY: packet sockets have addresses without safe wrappers.
#![expect(unsafe_code)]
//! Tells the neighbours on a link which interface has an address now: by gratuitous ARP and unsolicited neighbour
//! advertisements. Switches and hosts would believe what they knew before for minutes.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV6};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Mutex;

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn6, sendto, setsockopt, socket,
    sockopt,
};

use crate::{Context, Result};

/// Everybody on the link.
const EVERYBODY: [u8; 6] = [255; 6];
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// Neighbour discovery accepts only messages that no router has forwarded.
const HOPS: i32 = 255;

/// Announces addresses.
pub trait Announcer: Send + Sync {
    /// Tells everybody on an interface, by its number and hardware address, that it has this address.
    ///
    /// # Errors
    ///
    /// The kernel's, as when the interface is down.
    fn announce(&self, index: u32, hardware: [u8; 6], address: IpAddr) -> Result<()>;
}

/// The network.
#[derive(Debug, Default, Clone, Copy)]
pub struct LinuxAnnouncer;

/// Keeps what was announced, and tells nobody.
#[derive(Debug, Default)]
pub struct RecordingAnnouncer {
    /// Interfaces by number, with the address.
    pub announced: Mutex<Vec<(u32, IpAddr)>>,
}

impl Announcer for LinuxAnnouncer {
    fn announce(&self, index: u32, hardware: [u8; 6], address: IpAddr) -> Result<()> {
        let sent = match address {
            // Some believe the one kind only, and some the other.
            IpAddr::V4(v4) => [Operation::Request, Operation::Reply]
                .into_iter()
                .try_for_each(|operation| broadcast(index, &arp(operation, hardware, v4))),
            IpAddr::V6(v6) => advertise(index, &advertisement(hardware, v6)),
        };
        sent.context(|| format!("announce {address} on interface {index}"))
    }
}

impl Announcer for RecordingAnnouncer {
    fn announce(&self, index: u32, _: [u8; 6], address: IpAddr) -> Result<()> {
        let mut announced = self
            .announced
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        announced.push((index, address));
        Ok(())
    }
}

/// The kind of an ARP packet.
#[derive(Debug, Clone, Copy)]
enum Operation {
    Request = 1,
    Reply = 2,
}

/// Makes a gratuitous ARP packet, RFC 5227, without its Ethernet header.
fn arp(operation: Operation, hardware: [u8; 6], address: Ipv4Addr) -> [u8; 28] {
    let mut packet = [0; 28];
    packet[..6].copy_from_slice(&[0, 1, 8, 0, 6, 4]);
    packet[6..8].copy_from_slice(&(operation as u16).to_be_bytes());
    packet[8..14].copy_from_slice(&hardware);
    packet[14..18].copy_from_slice(&address.octets());
    if let Operation::Reply = operation {
        packet[18..24].copy_from_slice(&EVERYBODY);
    }
    packet[24..].copy_from_slice(&address.octets());
    packet
}

/// Makes an unsolicited neighbour advertisement that overrides what was known, RFC 4861, 4.4. The kernel fills in the checksum.
fn advertisement(hardware: [u8; 6], address: Ipv6Addr) -> [u8; 32] {
    const OVERRIDE: u8 = 0x20;
    let mut message = [0; 32];
    message[0] = 136;
    message[4] = OVERRIDE;
    message[8..24].copy_from_slice(&address.octets());
    message[24..26].copy_from_slice(&[2, 1]);
    message[26..].copy_from_slice(&hardware);
    message
}

fn broadcast(index: u32, packet: &[u8]) -> io::Result<()> {
    let index = i32::try_from(index).map_err(|_| io::Error::from(Errno::ENODEV))?;
    let protocol = (libc::ETH_P_ARP as u16).to_be();
    let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // Without a protocol nothing is ever received.
    // SAFETY: takes no pointers.
    let number = Errno::result(unsafe { libc::socket(libc::AF_PACKET, kind, 0) })?;
    // SAFETY: the kernel has just made this descriptor, and nobody else has it.
    let socket = unsafe { OwnedFd::from_raw_fd(number) };
    let mut everybody = [0; 8];
    everybody[..6].copy_from_slice(&EVERYBODY);
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: protocol,
        sll_ifindex: index,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 6,
        sll_addr: everybody,
    };
    // SAFETY: packet and address outlive the call and have the lengths that are told.
    let sent = unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            packet.as_ptr().cast(),
            packet.len(),
            0,
            (&raw const address).cast(),
            size_of_val(&address) as libc::socklen_t,
        )
    };
    Errno::result(sent)?;
    Ok(())
}

fn advertise(index: u32, message: &[u8]) -> io::Result<()> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Inet6, SockType::Raw, flags, SockProtocol::IcmpV6)?;
    setsockopt(&socket, sockopt::Ipv6MulticastHops, &HOPS)?;
    let everybody = SockaddrIn6::from(SocketAddrV6::new(ALL_NODES, 0, 0, index));
    sendto(socket.as_raw_fd(), message, &everybody, MsgFlags::empty())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_as_the_rfcs_have_them() {
        let hardware = [2, 0, 0, 0, 0, 7];
        let request = arp(Operation::Request, hardware, Ipv4Addr::new(10, 0, 0, 5));
        assert_eq!(request[..8], [0, 1, 8, 0, 6, 4, 0, 1]);
        assert_eq!(request[14..18], request[24..28], "sender and target are the same");
        assert_eq!(request[18..24], [0; 6]);
        let reply = arp(Operation::Reply, hardware, Ipv4Addr::new(10, 0, 0, 5));
        assert_eq!((reply[7], &reply[18..24]), (2, &EVERYBODY[..]));
        let message = advertisement(hardware, "fd00::5".parse().unwrap());
        assert_eq!((message[0], message[1], message[4]), (136, 0, 0x20));
        assert_eq!(message[24..], [2, 1, 2, 0, 0, 0, 0, 7]);
    }
}
