//! A minimal IPv6 router: answers solicitations, and advertises what a test wants.

use std::net::{Ipv6Addr, SocketAddrV6};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn6, sendto, setsockopt, socket,
    sockopt,
};
use tokio::net::unix::pipe::Receiver;
use tokio_util::task::AbortOnDropHandle;

const SOLICITATION: u8 = 133;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// The flags of an advertisement: addresses by DHCPv6, and other settings by it.
pub(super) const MANAGED: u8 = 0x80;
pub(super) const OTHER: u8 = 0x40;

/// Makes an advertisement: a default route for half an hour, the prefix 2001:db8:9::/64, a name server and a domain.
pub(super) fn advertisement(flags: u8) -> Vec<u8> {
    let mut message = vec![134, 0, 0, 0, 64, flags];
    message.extend(1800_u16.to_be_bytes());
    message.extend([0; 8]);
    // The prefix: on the link, and for addresses of one's own.
    message.extend([3, 4, 64, 0xc0]);
    message.extend(3600_u32.to_be_bytes());
    message.extend(1800_u32.to_be_bytes());
    message.extend([0; 4]);
    message.extend("2001:db8:9::".parse::<Ipv6Addr>().unwrap().octets());
    message.extend([25, 3, 0, 0]);
    message.extend(600_u32.to_be_bytes());
    message.extend("2001:db8:9::53".parse::<Ipv6Addr>().unwrap().octets());
    message.extend([31, 3, 0, 0]);
    message.extend(600_u32.to_be_bytes());
    message.extend(b"\x04six6\x07example\x00\x00\x00");
    message
}

/// Serves until dropped.
pub(super) struct Router {
    solicitations: Arc<AtomicU32>,
    _task: AbortOnDropHandle<()>,
}

impl Router {
    /// Returns the number of solicitations.
    pub(super) fn solicitations(&self) -> u32 {
        self.solicitations.load(Ordering::SeqCst)
    }
}

/// Answers each solicitation that comes in on an interface, by its number. Says nothing unasked. The
/// interface must forward: so the kernel takes what is for all routers.
pub(super) fn serve(index: u32, name: &str, advertisement: Vec<u8>) -> Router {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Inet6, SockType::Raw, flags, SockProtocol::IcmpV6).unwrap();
    setsockopt(&socket, sockopt::BindToDevice, &name.into()).unwrap();
    setsockopt(&socket, sockopt::Ipv6MulticastHops, &255).unwrap();
    let solicitations = Arc::new(AtomicU32::new(0));
    let counted = solicitations.clone();
    let task = tokio::spawn(async move {
        // It is not a pipe, but is read and polled like one.
        let reader = Receiver::from_owned_fd_unchecked(socket.try_clone().unwrap()).unwrap();
        let mut message = [0; 1500];
        loop {
            reader.readable().await.unwrap();
            let received = reader.try_read(&mut message);
            if !matches!(received, Ok(length) if length > 0 && message[0] == SOLICITATION) {
                continue;
            }
            counted.fetch_add(1, Ordering::SeqCst);
            let everybody = SockaddrIn6::from(SocketAddrV6::new(ALL_NODES, 0, 0, index));
            // Just switched on, it has no address yet to answer from: it will be asked again.
            match sendto(socket.as_raw_fd(), &advertisement, &everybody, MsgFlags::empty()) {
                Ok(_) | Err(Errno::EADDRNOTAVAIL) => {}
                Err(error) => panic!("cannot advertise: {error}"),
            }
        }
    });
    Router {
        solicitations,
        _task: AbortOnDropHandle::new(task),
    }
}
