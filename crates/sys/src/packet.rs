// UNSAFETY: packet sockets have addresses and filters without safe wrappers.
#![expect(unsafe_code)]
//! IPv4 packets on one interface, bypassing the kernel's network stack: for a node that has no address yet.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;

use crate::bpf::{HAS_BITS, HEADER_LENGTH, IS, LOAD_BYTE, LOAD_HALF, LOAD_HALF_BEHIND, RETURN, step};
use crate::{Context, Result};

/// The broadcast hardware address.
const EVERYBODY: [u8; 6] = [255; 6];

/// Sends and receives IPv4 packets, without the Ethernet header. Non-blocking: wait for readiness first.
///
/// Receives only unfragmented UDP packets to one port: the kernel drops the rest.
#[derive(Debug)]
pub struct PacketSocket {
    socket: OwnedFd,
    index: i32,
}

impl PacketSocket {
    /// Opens a socket on an interface, by its number, for UDP packets to a port.
    pub fn open(index: u32, port: u16) -> Result<Self> {
        let action = || format!("open a packet socket on interface {index}");
        let index = i32::try_from(index)
            .map_err(|_| io::Error::from(Errno::ENODEV))
            .context(action)?;
        let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // Without a protocol nothing is received until the filter is attached and `bind` sets one.
        // SAFETY: takes no pointers.
        let number = Errno::result(unsafe { libc::socket(libc::AF_PACKET, kind, 0) }).context(action)?;
        // SAFETY: the kernel has just made this descriptor, and nobody else has it.
        let socket = unsafe { OwnedFd::from_raw_fd(number) };
        let packets = PacketSocket { socket, index };
        attach(&packets.socket, &udp_to(port)).context(action)?;
        let address = packets.address();
        // SAFETY: `address` outlives the call and has the length that is told.
        let bound = unsafe { libc::bind(number, (&raw const address).cast(), length_of(&address)) };
        Errno::result(bound).context(action)?;
        Ok(packets)
    }

    /// Sends an IPv4 packet to everybody on the interface.
    ///
    /// Fails with `WouldBlock` when the interface cannot accept it now, and with `ENETDOWN` when it is down.
    pub fn broadcast(&self, packet: &[u8]) -> io::Result<()> {
        let address = self.address();
        // SAFETY: packet and address outlive the call and have the lengths that are told.
        let sent = unsafe {
            libc::sendto(
                self.socket.as_raw_fd(),
                packet.as_ptr().cast(),
                packet.len(),
                0,
                (&raw const address).cast(),
                length_of(&address),
            )
        };
        Errno::result(sent)?;
        Ok(())
    }

    /// Returns a descriptor to read packets from, one at a time, each starting with its IPv4 header.
    pub fn reader(&self) -> io::Result<OwnedFd> {
        self.socket.try_clone()
    }

    fn address(&self) -> libc::sockaddr_ll {
        let mut hardware = [0; 8];
        hardware[..6].copy_from_slice(&EVERYBODY);
        libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: (libc::ETH_P_IP as u16).to_be(),
            sll_ifindex: self.index,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 6,
            sll_addr: hardware,
        }
    }
}

/// Lets the kernel run a program on what arrives at a socket.
pub(crate) fn attach(socket: &OwnedFd, filter: &[libc::sock_filter]) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).map_err(|_| io::Error::from(Errno::E2BIG))?,
        filter: filter.as_ptr().cast_mut(),
    };
    // SAFETY: the kernel copies the program, of which the length is told; it writes to neither.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    Errno::result(set)?;
    Ok(())
}

fn length_of(address: &libc::sockaddr_ll) -> libc::socklen_t {
    size_of_val(address) as libc::socklen_t
}

/// Makes a classic BPF program that accepts unfragmented UDP packets to a port; offsets are from the IPv4 header.
fn udp_to(port: u16) -> [libc::sock_filter; 9] {
    [
        step(LOAD_BYTE, 0, 0, 9),
        step(IS, 0, 6, 17),
        step(LOAD_HALF, 0, 0, 6),
        step(HAS_BITS, 4, 0, 0x1fff),
        step(HEADER_LENGTH, 0, 0, 0),
        step(LOAD_HALF_BEHIND, 0, 0, 2),
        step(IS, 0, 1, port.into()),
        step(RETURN, 0, 0, u32::MAX),
        step(RETURN, 0, 0, 0),
    ]
}
