//! Captures of packets: what is asked for, and the packets as a file in the format pcap.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd as _;
use std::time::Duration;

use api::v1alpha1::{CaptureRequest, CaptureResponse};
use sys::capture::{Capture, Captured, Filter};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::time::Instant;
use tonic::Status;

use crate::host::{Host, Link};

/// The most bytes of a packet that are kept.
const SNAPSHOT: u32 = 65_535;
/// How long a capture takes if nobody says, and at most: one that is forgotten must end.
const TIME: Duration = Duration::from_secs(600);
const LONGEST: Duration = Duration::from_secs(3600);
/// Bytes of packets from which on a message is sent. One may have a packet more.
const MESSAGE: usize = 64 * 1024;
/// The format: pcap with nanoseconds, version 2.4 (draft-ietf-opsawg-pcap).
const MAGIC: u32 = 0xa1b2_3c4d;
const VERSION: [u16; 2] = [2, 4];
/// How packets begin: `LINKTYPE_ETHERNET` and `LINKTYPE_RAW`.
const ETHERNET: u32 = 1;
const RAW: u32 = 101;

/// A capture that is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    interface: u32,
    filter: Filter,
    link: u32,
    snapshot: u32,
    packets: u64,
    time: Duration,
}

impl Plan {
    /// Checks a request, whose caller is at an address.
    ///
    /// # Errors
    ///
    /// What is not valid, and an interface that is not there or has no packets.
    pub(crate) fn of(
        request: &CaptureRequest,
        caller: Option<SocketAddr>,
        host: &Host,
    ) -> Result<Self, Status> {
        let Link { index, kind } = host.link(&request.interface).ok_or_else(|| {
            let known = host.links().join(", ");
            Status::not_found(format!(
                "there is no interface {:?}; there are: {known}",
                request.interface
            ))
        })?;
        // `include/uapi/linux/if_arp.h`.
        let (link, loopback) = match kind {
            1 => (ETHERNET, false),
            772 => (ETHERNET, true),
            // Without a header of their own: WireGuard and tunnels.
            65534 | 768 | 769 | 776 => (RAW, false),
            other => {
                return Err(Status::failed_precondition(format!(
                    "packets of {} cannot be captured: it is of the kind {other}, not Ethernet or a tunnel of IP",
                    request.interface
                )));
            }
        };
        let invalid = |text: String| Status::invalid_argument(text);
        let address = match request.host.as_str() {
            "" => None,
            host => Some(host.parse::<IpAddr>().map_err(|_| {
                invalid(format!(
                    "{host:?} is not an address; expected a form like 10.0.0.1 or fd00::1"
                ))
            })?),
        };
        let port = match request.port {
            0 => None,
            port => Some(u16::try_from(port).map_err(|_| invalid(format!("{port} is not a port")))?),
        };
        if request.snapshot_bytes > SNAPSHOT {
            return Err(invalid(format!(
                "at most {SNAPSHOT} bytes of a packet can be kept"
            )));
        }
        let time = match request.max_time_ms {
            0 => TIME,
            millis => Duration::from_millis(millis),
        };
        if time > LONGEST {
            let longest = quantity::human_time(LONGEST);
            return Err(invalid(format!("a capture takes at most {longest}")));
        }
        Ok(Self {
            interface: index,
            filter: Filter {
                host: address,
                port,
                // Each message would be packets to be sent, again and again.
                without: caller.map(|caller| SocketAddr::new(caller.ip().to_canonical(), caller.port())),
                incoming_only: loopback,
            },
            link,
            snapshot: match request.snapshot_bytes {
                0 => SNAPSHOT,
                bytes => bytes,
            },
            packets: match request.max_packets {
                0 => u64::MAX,
                packets => packets,
            },
            time,
        })
    }
}

/// A capture that runs.
pub(crate) struct Running {
    capture: Capture,
    /// The same socket, to wait for. It is none of UDP, but is polled like one.
    socket: UdpSocket,
    plan: Plan,
    until: Instant,
    buffer: Vec<u8>,
    packets: u64,
    dropped: u64,
    /// The header of the file, until it was sent.
    header: Option<Vec<u8>>,
    done: bool,
}

impl Running {
    /// Begins a capture.
    pub(crate) fn start(plan: Plan) -> Result<Self, Status> {
        let failed = |error: &dyn std::error::Error| {
            let cause = error
                .source()
                .map(|cause| format!(": {cause}"))
                .unwrap_or_default();
            Status::failed_precondition(format!("{error}{cause}"))
        };
        let capture = Capture::open(plan.interface, &plan.filter).map_err(|error| failed(&error))?;
        let polled = capture.as_fd().try_clone_to_owned();
        let polled = polled.and_then(|socket| UdpSocket::from_std(socket.into()));
        Ok(Self {
            capture,
            socket: polled.map_err(|error| failed(&error))?,
            until: Instant::now() + plan.time,
            buffer: vec![0; plan.snapshot as usize],
            header: Some(file_header(plan.snapshot, plan.link)),
            packets: 0,
            dropped: 0,
            done: plan.packets == 0,
            plan,
        })
    }

    /// Returns the next message, as soon as there is anything to send; nothing after the last.
    ///
    /// # Errors
    ///
    /// The interface is gone or down.
    pub(crate) async fn next(&mut self) -> Result<Option<CaptureResponse>, Status> {
        if let Some(header) = self.header.take() {
            return Ok(Some(self.message(header)));
        }
        if self.done {
            return Ok(None);
        }
        // Cancel safe: packets are read after the wait alone.
        let data = match tokio::time::timeout_at(self.until, self.packets()).await {
            Ok(data) => data?,
            Err(_) => {
                self.done = true;
                Vec::new()
            }
        };
        Ok(Some(self.message(data)))
    }

    /// Waits for packets, and takes those that are there.
    async fn packets(&mut self) -> Result<Vec<u8>, Status> {
        let lost = |error: std::io::Error| Status::unavailable(format!("the capture ended: {error}"));
        loop {
            self.socket.readable().await.map_err(lost)?;
            let mut data = Vec::new();
            while data.len() < MESSAGE && self.packets < self.plan.packets {
                let read = || self.capture.read(&mut self.buffer);
                match self.socket.try_io(Interest::READABLE, read) {
                    Ok(captured) => {
                        add(&mut data, &self.buffer[..captured.kept], &captured);
                        self.packets += 1;
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(lost(error)),
                }
            }
            self.done = self.packets >= self.plan.packets;
            if !data.is_empty() {
                return Ok(data);
            }
        }
    }

    fn message(&mut self, data: Vec<u8>) -> CaptureResponse {
        self.dropped += u64::from(self.capture.dropped().unwrap_or(0));
        CaptureResponse {
            data,
            packets: self.packets,
            dropped: self.dropped,
        }
    }
}

fn file_header(snapshot: u32, link: u32) -> Vec<u8> {
    let mut header = MAGIC.to_le_bytes().to_vec();
    header.extend(VERSION.iter().flat_map(|part| part.to_le_bytes()));
    // The time zone and its accuracy, which nobody fills in.
    header.extend([0; 8]);
    header.extend(snapshot.to_le_bytes());
    header.extend(link.to_le_bytes());
    header
}

/// Adds a packet to a file.
fn add(file: &mut Vec<u8>, packet: &[u8], captured: &Captured) {
    let number = |number: u64| u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes();
    file.extend(number(captured.at.as_secs()));
    file.extend(captured.at.subsec_nanos().to_le_bytes());
    file.extend(number(packet.len() as u64));
    file.extend(number(captured.length as u64));
    file.extend(packet);
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use tonic::Code;

    use super::*;

    fn request() -> CaptureRequest {
        CaptureRequest {
            interface: "lo".to_owned(),
            ..CaptureRequest::default()
        }
    }

    #[test]
    fn what_is_not_valid_is_refused_with_the_way_out() {
        let cases = [
            (
                CaptureRequest {
                    interface: "nope".into(),
                    ..request()
                },
                Code::NotFound,
                "lo",
            ),
            (
                CaptureRequest {
                    interface: "../lo".into(),
                    ..request()
                },
                Code::NotFound,
                "lo",
            ),
            (
                CaptureRequest {
                    interface: String::new(),
                    ..request()
                },
                Code::NotFound,
                "lo",
            ),
            (
                CaptureRequest {
                    host: "node1".into(),
                    ..request()
                },
                Code::InvalidArgument,
                "fd00::1",
            ),
            (
                CaptureRequest {
                    port: 65_536,
                    ..request()
                },
                Code::InvalidArgument,
                "65536",
            ),
            (
                CaptureRequest {
                    snapshot_bytes: 65_536,
                    ..request()
                },
                Code::InvalidArgument,
                "65535",
            ),
            (
                CaptureRequest {
                    max_time_ms: 3_600_001,
                    ..request()
                },
                Code::InvalidArgument,
                "1h",
            ),
        ];
        for (request, code, text) in cases {
            let status = Plan::of(&request, None, &Host::default()).unwrap_err();
            assert_eq!(status.code(), code, "{request:?}");
            assert!(status.message().contains(text), "{status:?}");
        }
        let caller = "[::ffff:10.0.0.9]:4000".parse().ok();
        let plan = Plan::of(
            &CaptureRequest {
                port: 53,
                ..request()
            },
            caller,
            &Host::default(),
        )
        .unwrap();
        assert_eq!(plan.filter.without, "10.0.0.9:4000".parse().ok());
        assert!(plan.filter.incoming_only && plan.filter.port == Some(53));
        assert_eq!((plan.link, plan.snapshot, plan.time), (ETHERNET, SNAPSHOT, TIME));
    }

    #[tokio::test]
    async fn a_capture_is_a_file_that_ends_by_itself() {
        let (from, to) = (
            UdpSocket::bind("127.0.0.1:0").unwrap(),
            UdpSocket::bind("127.0.0.1:0").unwrap(),
        );
        let to = to.local_addr().unwrap();
        let request = CaptureRequest {
            port: to.port().into(),
            host: "127.0.0.1".into(),
            snapshot_bytes: 44,
            max_packets: 2,
            ..request()
        };
        let plan = Plan::of(&request, None, &Host::default()).unwrap();
        let mut running = match Running::start(plan) {
            Ok(running) => running,
            Err(status) => {
                assert!(status.message().contains("permitted"), "{status:?}");
                eprintln!("skipped: only root can capture packets");
                return;
            }
        };
        for text in ["abc", "defg", "never"] {
            from.send_to(text.as_bytes(), to).unwrap();
        }
        let (mut file, mut last) = (Vec::<u8>::new(), CaptureResponse::default());
        while let Some(message) = running.next().await.unwrap() {
            file.extend(&message.data);
            last = message;
        }
        assert_eq!((last.packets, last.dropped), (2, 0));
        assert_eq!(file[..8], [0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0]);
        assert_eq!(file[16..24], [44, 0, 0, 0, 1, 0, 0, 0]);
        let packets = &file[24..];
        assert_eq!(packets.len(), 2 * (16 + 44));
        // 42 bytes of headers; the rest of the packet is cut, and its length is told.
        assert_eq!(packets[8..16], [44, 0, 0, 0, 45, 0, 0, 0]);
        assert_eq!(packets[16 + 42..60], *b"ab");
        assert_eq!(packets[60 + 12..60 + 16], [46, 0, 0, 0]);
    }

    #[tokio::test]
    async fn a_quiet_capture_ends_in_time() {
        let quiet = UdpSocket::bind("127.0.0.1:0").unwrap();
        let request = CaptureRequest {
            port: quiet.local_addr().unwrap().port().into(),
            max_time_ms: 50,
            ..request()
        };
        let plan = Plan::of(&request, None, &Host::default()).unwrap();
        let Ok(mut running) = Running::start(plan) else {
            return eprintln!("skipped: only root can capture packets");
        };
        let mut messages = 0;
        while running.next().await.unwrap().is_some() {
            messages += 1;
        }
        assert_eq!(messages, 2, "the header, and the counts at the end");
    }
}
