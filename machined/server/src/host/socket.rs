//! Sockets, from `/proc/net/{tcp,tcp6,udp,udp6}`, and their processes, from `/proc/PID/fd`.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use api::v1alpha1::{Socket, SocketsResponse};

use super::{Host, entries, text};

/// The most sockets that are listed.
const MOST: usize = 20_000;
/// The most bytes of one table that are read: each socket takes 150.
const TABLE: u64 = 32 * 1024 * 1024;
/// The cgroup that the cgroups of services are in.
const SERVICES: &str = "bedplate";

/// A socket in a table, and its inode, by which processes have it open.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    socket: Socket,
    inode: u64,
}

/// A process that has a socket open.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Opener {
    pid: u32,
    process: String,
    service: String,
}

impl Host {
    /// Lists the sockets, by protocol and port: `all`, or those on which the node can be reached.
    pub fn sockets(&self, all: bool) -> SocketsResponse {
        let mut rows = Vec::new();
        let mut omitted = 0;
        for protocol in ["tcp", "tcp6", "udp", "udp6"] {
            let Ok(file) = File::open(self.proc.join("net").join(protocol)) else {
                continue;
            };
            for line in BufReader::new(file.take(TABLE)).lines().skip(1) {
                let row = line.ok().and_then(|line| row(protocol, &line));
                let Some(row) = row.filter(|row| all || is_reachable(&row.socket)) else {
                    continue;
                };
                match rows.len() < MOST {
                    true => rows.push(row),
                    false => omitted += 1,
                }
            }
        }
        let openers = self.openers();
        let sockets = rows.into_iter().map(|Row { mut socket, inode }| {
            if let Some(opener) = openers.get(&inode) {
                socket.pid = opener.pid;
                socket.process.clone_from(&opener.process);
                socket.service.clone_from(&opener.service);
            }
            socket
        });
        let mut sockets: Vec<Socket> = sockets.collect();
        let port = |address: &str| {
            let port = address.rsplit(':').next();
            port.and_then(|port| port.parse::<u16>().ok()).unwrap_or(0)
        };
        sockets.sort_by_cached_key(|socket| {
            (socket.protocol.clone(), port(&socket.local), socket.local.clone())
        });
        SocketsResponse { sockets, omitted }
    }

    /// Finds a process for each socket that one has open, by inode; of several the first.
    fn openers(&self) -> HashMap<u64, Opener> {
        let mut openers = HashMap::new();
        let mut pids: Vec<u32> = entries(&self.proc)
            .into_iter()
            .filter_map(|name| name.parse().ok())
            .collect();
        pids.sort_unstable();
        for pid in pids {
            let folder = self.proc.join(pid.to_string());
            let mut opener = None;
            for inode in inodes(&folder.join("fd")) {
                // Only now: most processes have no sockets.
                let opener = opener.get_or_insert_with(|| Opener {
                    pid,
                    process: text(&folder.join("comm")),
                    service: service(&text(&folder.join("cgroup"))),
                });
                openers.entry(inode).or_insert_with(|| opener.clone());
            }
        }
        openers
    }
}

/// Returns the inodes of the sockets among the files that a process has open.
fn inodes(folder: &Path) -> Vec<u64> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let targets = files.filter_map(|file| std::fs::read_link(file.path()).ok());
    targets
        .filter_map(|target| {
            target
                .to_str()?
                .strip_prefix("socket:[")?
                .strip_suffix(']')?
                .parse()
                .ok()
        })
        .collect()
}

/// Finds the service in a process's cgroup, `0::/bedplate/NAME/…`; empty if there is none.
fn service(cgroup: &str) -> String {
    let path = cgroup.lines().find_map(|line| line.strip_prefix("0::"));
    let mut parts = path.unwrap_or_default().split('/');
    let _ = parts.find(|part| *part == SERVICES);
    parts.next().unwrap_or_default().to_owned()
}

/// Tells whether others can reach the node by a socket: one that listens, or that takes datagrams from anybody.
fn is_reachable(socket: &Socket) -> bool {
    matches!(socket.state.as_str(), "listen" | "unconnected")
}

/// Reads a row: `SLOT: LOCAL REMOTE STATE SENT:RECEIVED TIMER:WHEN RETRIES UID TIMEOUT INODE …`.
fn row(protocol: &str, line: &str) -> Option<Row> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (local, remote) = (address(fields.next()?)?, address(fields.next()?)?);
    let state = u8::from_str_radix(fields.next()?, 16).ok()?;
    let (sent, received) = fields.next()?.split_once(':')?;
    let mut fields = fields.skip(2);
    let uid = fields.next()?.parse().ok()?;
    let inode = fields.nth(1)?.parse().ok()?;
    Some(Row {
        socket: Socket {
            protocol: protocol.to_owned(),
            local: local.to_string(),
            remote: remote.to_string(),
            state: name(protocol, state)?.to_owned(),
            uid,
            receive_queue: u64::from_str_radix(received, 16).ok()?,
            send_queue: u64::from_str_radix(sent, 16).ok()?,
            ..Socket::default()
        },
        inode,
    })
}

/// Names a state of the kernel (`include/net/tcp_states.h`), which UDP borrows two of.
fn name(protocol: &str, state: u8) -> Option<&'static str> {
    const STATES: [&str; 12] = [
        "established",
        "syn-sent",
        "syn-received",
        "fin-wait-1",
        "fin-wait-2",
        "time-wait",
        "close",
        "close-wait",
        "last-ack",
        "listen",
        "closing",
        "syn-received",
    ];
    match (protocol, state) {
        ("udp" | "udp6", 7) => Some("unconnected"),
        (_, state) => STATES.get(usize::from(state.checked_sub(1)?)).copied(),
    }
}

/// Reads `0100007F:C350`: each 32 bits of the address as a number of this machine, the port as a number.
fn address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        let digits = address.get(at..at + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    let address = match address.len() {
        8 => IpAddr::from(Ipv4Addr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            let bytes: [u8; 16] = words.concat().try_into().ok()?;
            IpAddr::from(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(SocketAddr::new(address, port))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rows_are_read() {
        let line = "   3: 0100007F:C350 00000000:0000 0A 00000000:00000002 00:00000000 00000000   101        0 14721 1 0 100 0";
        let row = row("tcp", line).unwrap();
        let Socket {
            local,
            remote,
            state,
            uid,
            ..
        } = row.socket.clone();
        assert_eq!(
            (local.as_str(), remote.as_str(), state.as_str(), uid, row.inode),
            ("127.0.0.1:50000", "0.0.0.0:0", "listen", 101, 14721)
        );
        assert_eq!((row.socket.receive_queue, row.socket.send_queue), (2, 0));
        let mapped = address("0000000000000000FFFF00000200000A:0050").unwrap();
        assert_eq!(mapped.to_string(), "[::ffff:10.0.0.2]:80");
        assert_eq!(name("udp", 7), Some("unconnected"));
        assert_eq!(name("tcp", 7), Some("close"));
        assert_eq!((name("tcp", 0), name("tcp", 13)), (None, None));
    }

    #[test]
    fn a_service_is_found_by_the_cgroup() {
        assert_eq!(service("0::/bedplate/containerd"), "containerd");
        assert_eq!(service("1:cpu:/\n0::/x/bedplate/kubelet/sub"), "kubelet");
        for other in ["0::/kubepods/pod1/abc", "0::/", "", "0::/bedplate"] {
            assert_eq!(service(other), "", "{other}");
        }
    }

    #[test]
    fn the_sockets_of_this_process_are_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let six = TcpListener::bind("[::1]:0").unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let client = TcpStream::connect(address).unwrap();
        let host = Host::default();
        let find = |all: bool, protocol: &str, local: SocketAddr| {
            let sockets = host.sockets(all).sockets;
            sockets
                .into_iter()
                .find(|socket| socket.protocol == protocol && socket.local == local.to_string())
        };
        for (protocol, local, state) in [
            ("tcp", address, "listen"),
            ("tcp6", six.local_addr().unwrap(), "listen"),
            ("udp", udp.local_addr().unwrap(), "unconnected"),
        ] {
            let found = find(false, protocol, local).expect(protocol);
            assert_eq!(
                (found.state.as_str(), found.pid),
                (state, std::process::id()),
                "{protocol}"
            );
            assert!(!found.process.is_empty());
        }
        let connected = client.local_addr().unwrap();
        assert_eq!(find(false, "tcp", connected), None);
        let found = find(true, "tcp", connected).expect("the connection");
        assert_eq!(found.state, "established");
        assert_eq!(found.remote, address.to_string());
        assert_eq!(found.pid, std::process::id());
    }

    proptest! {
        #[test]
        fn garbage_is_left_out(text in "\\PC{0,80}", hex in "[0-9A-F: ]{0,120}") {
            let _ = (row("tcp", &text), row("tcp6", &hex), service(&text));
        }

        #[test]
        fn addresses_are_read_as_the_kernel_writes_them(bytes: [u8; 16], port: u16) {
            let words = bytes.chunks_exact(4).map(|word| {
                format!("{:08X}", u32::from_ne_bytes(word.try_into().unwrap()))
            });
            let text = format!("{}:{port:04X}", words.collect::<String>());
            let expected = SocketAddr::new(IpAddr::from(bytes), port);
            prop_assert_eq!(address(&text), Some(expected));
        }
    }
}
