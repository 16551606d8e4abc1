// UNSAFETY: packet sockets have addresses, filters and statistics without safe wrappers.
#![expect(unsafe_code)]
//! Packets on one interface as they are on the wire, those of others included: for looking at a network.

mod filter;

use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;

use crate::packet::attach;
use crate::{Context, Result};

pub use filter::Filter;

/// Memory for packets that were not read yet, in bytes; the kernel drops others.
static QUEUE: libc::c_int = 2 << 20;

/// A capture on an interface. Non-blocking: wait for readiness first.
#[derive(Debug)]
pub struct Capture {
    socket: OwnedFd,
}

/// A packet that was read into a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Captured {
    /// The bytes of it in the buffer.
    pub kept: usize,
    /// Its bytes on the wire.
    pub length: usize,
    /// When the kernel saw it, since 1970.
    pub at: Duration,
}

impl Capture {
    /// Begins a capture on an interface, by its number, of packets that a filter accepts.
    pub fn open(index: u32, filter: &Filter) -> Result<Self> {
        let action = || format!("capture packets on interface {index}");
        let interface = i32::try_from(index)
            .map_err(|_| io::Error::from(Errno::ENODEV))
            .context(action)?;
        let program = filter
            .program()
            .ok_or(io::Error::from(Errno::E2BIG))
            .context(action)?;
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // Without a protocol nothing is received until the filter is attached and `bind` sets one.
        // SAFETY: takes no pointers.
        let number = Errno::result(unsafe { libc::socket(libc::AF_PACKET, kind, 0) }).context(action)?;
        // SAFETY: the kernel has just made this descriptor, and nobody else has it.
        let socket = unsafe { OwnedFd::from_raw_fd(number) };
        attach(&socket, &program).context(action)?;
        let capture = Capture { socket };
        capture.enlarge_queue();
        let address = libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: (libc::ETH_P_ALL as u16).to_be(),
            sll_ifindex: interface,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        };
        let length = size_of_val(&address) as libc::socklen_t;
        // SAFETY: `address` outlives the call and has the length that is told.
        let bound = unsafe { libc::bind(number, (&raw const address).cast(), length) };
        Errno::result(bound).context(action)?;
        Ok(capture)
    }

    /// Reads the next packet, or as much of it as the buffer takes. Fails with `WouldBlock` when there is none.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<Captured> {
        // SAFETY: the buffer outlives the call and has the length that is told.
        let read = unsafe {
            libc::recv(
                self.socket.as_raw_fd(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                libc::MSG_TRUNC,
            )
        };
        let length = usize::try_from(Errno::result(read)?).unwrap_or(0);
        let mut time = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: the kernel writes the time of the packet that was read last to `time`, which outlives the call.
        let told = unsafe { libc::ioctl(self.socket.as_raw_fd(), SIOCGSTAMPNS, &raw mut time) };
        Errno::result(told)?;
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
        Ok(Captured {
            kept: length.min(buffer.len()),
            length,
            at: Duration::new(seconds, nanos),
        })
    }

    /// Returns how many packets were dropped since the last call, because they were not read in time.
    pub fn dropped(&self) -> io::Result<u32> {
        let mut counts = libc::tpacket_stats {
            tp_packets: 0,
            tp_drops: 0,
        };
        let mut length = size_of::<libc::tpacket_stats>() as libc::socklen_t;
        // SAFETY: the kernel writes at most `length` bytes to `counts`, which has that length and outlives the call.
        let got = unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                (&raw mut counts).cast(),
                &raw mut length,
            )
        };
        Errno::result(got)?;
        Ok(counts.tp_drops)
    }

    /// Makes room for bursts. Where that is not allowed, the usual room has to do.
    fn enlarge_queue(&self) {
        // SAFETY: the value outlives the call and has the length that is told.
        let _ = unsafe {
            libc::setsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_RCVBUFFORCE,
                (&raw const QUEUE).cast(),
                size_of_val(&QUEUE) as libc::socklen_t,
            )
        };
    }
}

/// Asks for the time of the packet that was read last (`include/uapi/asm-generic/sockios.h`), which `libc` does not have for
/// every architecture.
const SIOCGSTAMPNS: libc::Ioctl = 0x8907;

impl AsFd for Capture {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Capture {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.socket.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::time::{Instant, SystemTime};

    use super::*;

    /// Reads for a while: the payloads of packets to lo, and their lengths on the wire.
    fn read(capture: &Capture, count: usize, buffer: &mut [u8]) -> Vec<(Vec<u8>, Captured)> {
        let (mut found, until) = (Vec::new(), Instant::now() + Duration::from_secs(10));
        while found.len() < count && Instant::now() < until {
            match capture.read(buffer) {
                Ok(captured) => found.push((buffer[..captured.kept].to_vec(), captured)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(error) => panic!("{error}"),
            }
        }
        found
    }

    #[test]
    fn packets_of_a_port_are_captured_once_and_cut() {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("skipped: only root can capture packets");
            return;
        }
        let lo = nix::net::if_::if_nametoindex("lo").unwrap();
        let sockets: Vec<UdpSocket> = (0..3).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
        let [from, to, other] = sockets.as_slice() else {
            panic!("three")
        };
        let port = to.local_addr().unwrap().port();
        let filter = Filter {
            port: Some(port),
            incoming_only: true,
            ..Filter::default()
        };
        let capture = Capture::open(lo, &filter).unwrap();
        from.send_to(b"to another port", other.local_addr().unwrap())
            .unwrap();
        for text in ["one", "two: longer than the buffer"] {
            from.send_to(text.as_bytes(), to.local_addr().unwrap()).unwrap();
        }
        // Ethernet, IPv4 and UDP have 42 bytes together.
        let found = read(&capture, 2, &mut [0; 42 + 3]);
        let texts: Vec<&[u8]> = found.iter().map(|(bytes, _)| &bytes[42..]).collect();
        assert_eq!(texts, [b"one", b"two"]);
        assert_eq!((found[0].1.length, found[1].1.length), (45, 42 + 27));
        let age = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH + found[0].1.at);
        assert!(age.unwrap() < Duration::from_secs(60));
        assert_eq!(capture.dropped().unwrap(), 0);
        let none = capture.read(&mut [0; 9]).unwrap_err();
        assert_eq!(none.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn an_interface_that_is_not_there_is_an_error() {
        let error = Capture::open(u32::MAX, &Filter::default()).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("cannot capture packets on interface"),
            "{error}"
        );
    }
}
