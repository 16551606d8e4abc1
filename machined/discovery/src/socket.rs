//! Moves the packets of an interface.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use announcement::{Announcement, MAX_PACKET, PORT};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockRef, Socket, Type};
use state::tasks;
use tokio::net::UdpSocket;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use crate::link::{Link, Out};
use crate::plan::{Facts, is_link_local};

const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);
/// The most packets that are looked at in a while; what comes beyond that waits, and the kernel drops what finds no room.
const BUDGET: u32 = 50;
const WHILE: Duration = Duration::from_millis(500);
/// How many bytes wait in the kernel.
const WAITING: usize = 64 * 1024;

/// What all interfaces heard. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heard {
    inner: Arc<Mutex<BTreeMap<String, OnLink>>>,
    bell: Arc<Notify>,
}

/// What one interface heard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct OnLink {
    /// The node's own name there.
    pub name: Option<String>,
    /// The others.
    pub peers: Vec<Announcement>,
}

impl Heard {
    /// Returns what rings at news.
    pub(crate) fn bell(&self) -> Arc<Notify> {
        self.bell.clone()
    }

    /// Returns what each interface heard.
    pub(crate) fn all(&self) -> BTreeMap<String, OnLink> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, link: &str, heard: Option<OnLink>) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        match heard {
            Some(heard) => inner.insert(link.to_owned(), heard),
            None => inner.remove(link),
        };
        self.bell.notify_one();
    }
}

/// Speaks and listens on an interface until it is dropped: then it says goodbye.
pub(crate) fn speak(
    link: String,
    index: u32,
    facts: watch::Receiver<Facts>,
    heard: Heard,
) -> AbortOnDropHandle<()> {
    tasks::keep(format!("discovery on {link}"), move || {
        run(link.clone(), index, facts.clone(), heard.clone())
    })
}

async fn run(
    link: String,
    index: u32,
    mut facts: watch::Receiver<Facts>,
    heard: Heard,
) -> Result<(), io::Error> {
    let mut live = Live {
        sockets: Sockets::open(&link, index)?,
        link: Link::new(Instant::now()),
        name: link,
        heard,
    };
    facts.mark_changed();
    let mut budget = Budget::new();
    let [mut v4, mut v6] = [vec![0; MAX_PACKET + 1], vec![0; MAX_PACKET + 1]];
    loop {
        let next = live.link.next();
        let due = async {
            match next {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let out = tokio::select! {
            // Cancel safe: a packet that is not taken stays. Slowed down for all, whoever floods.
            received = async { budget.wait().await; receive(live.sockets.v4.as_ref(), &mut v4).await } => {
                budget.spend();
                live.take(&facts.borrow(), received, &v4)
            }
            // Cancel safe, likewise.
            received = async { budget.wait().await; receive(live.sockets.v6.as_ref(), &mut v6).await } => {
                budget.spend();
                live.take(&facts.borrow(), received, &v6)
            }
            // Cancel safe: it stays marked as changed.
            changed = facts.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
                let now = facts.borrow_and_update().clone();
                live.link.set(Instant::now(), now.announcement, now.cluster)
            }
            // Cancel safe: it only waits.
            () = due => live.link.due(Instant::now()),
        };
        for packet in &out {
            live.sockets.send(packet);
        }
        if live.link.take_changed() {
            live.heard.set(
                &live.name,
                Some(OnLink {
                    name: live.link.name(),
                    peers: live.link.peers().cloned().collect(),
                }),
            );
        }
    }
}

/// Receives a packet; forever, where there is no socket.
async fn receive(socket: Option<&UdpSocket>, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    match socket {
        Some(socket) => socket.recv_from(buffer).await,
        None => std::future::pending().await,
    }
}

/// An interface on which the node speaks.
struct Live {
    name: String,
    sockets: Sockets,
    link: Link,
    heard: Heard,
}

impl Live {
    /// Takes a packet, if somebody on the same network sent it.
    fn take(&mut self, facts: &Facts, received: io::Result<(usize, SocketAddr)>, buffer: &[u8]) -> Vec<Out> {
        // An error is about a packet that was sent, such as one that nobody took.
        let Ok((length, from)) = received else {
            return Vec::new();
        };
        match buffer.get(..length) {
            Some(packet) if is_near(facts, from.ip()) => self.link.take(Instant::now(), from, packet),
            _ => Vec::new(),
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if let Some(packet) = self.link.goodbye() {
            self.sockets.send(&Out::All(packet));
        }
        self.heard.set(&self.name, None);
    }
}

/// Returns true if an address is on the same network, and not the node's own.
fn is_near(facts: &Facts, address: IpAddr) -> bool {
    let inside = |network: &machine_config::value::IpPrefix| network.network().contains(address);
    !facts.own.contains(&address) && (is_link_local(address) || facts.networks.iter().any(inside))
}

/// How many packets are looked at.
struct Budget {
    left: u32,
    since: Instant,
}

impl Budget {
    fn new() -> Self {
        Self {
            left: BUDGET,
            since: Instant::now(),
        }
    }

    async fn wait(&self) {
        if self.left == 0 {
            sleep_until(self.since + WHILE).await;
        }
    }

    fn spend(&mut self) {
        if self.since.elapsed() >= WHILE {
            *self = Self::new();
        }
        self.left = self.left.saturating_sub(1);
    }
}

/// The sockets of an interface, one for each family.
struct Sockets {
    v4: Option<UdpSocket>,
    v6: Option<UdpSocket>,
    index: u32,
}

impl Sockets {
    fn open(link: &str, index: u32) -> io::Result<Self> {
        let v4 = open_v4(link, index);
        // A kernel may have no IPv6.
        let v6 = open_v6(link, index).ok();
        Ok(Self {
            v4: match v4 {
                Err(error) if v6.is_none() => return Err(error),
                found => found.ok(),
            },
            v6,
            index,
        })
    }

    /// Sends a packet. What cannot be sent is lost, as any packet may be.
    fn send(&self, out: &Out) {
        let send = |socket: Option<&UdpSocket>, to: SocketAddr, packet: &[u8]| {
            if let Some(socket) = socket
                && let Err(error) = SockRef::from(socket).send_to(packet, &to.into())
            {
                tracing::debug!("discovery: cannot send to {to}: {error}");
            }
        };
        match out {
            Out::All(packet) => {
                send(self.v4.as_ref(), (GROUP_V4, PORT).into(), packet);
                let group = SocketAddrV6::new(GROUP_V6, PORT, 0, self.index);
                send(self.v6.as_ref(), group.into(), packet);
            }
            Out::One(to, packet) => {
                let socket = if to.is_ipv4() { &self.v4 } else { &self.v6 };
                send(socket.as_ref(), *to, packet);
            }
        }
    }
}

fn socket(link: &str, domain: Domain) -> io::Result<Socket> {
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    // A pod on the node's own network may speak multicast DNS, too.
    socket.set_reuse_address(true)?;
    socket.bind_device(Some(link.as_bytes()))?;
    socket.set_recv_buffer_size(WAITING)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn open_v4(link: &str, index: u32) -> io::Result<UdpSocket> {
    let socket = socket(link, Domain::IPV4)?;
    socket.set_multicast_ttl_v4(255)?;
    socket.set_multicast_loop_v4(false)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT)).into())?;
    socket.join_multicast_v4_n(&GROUP_V4, &InterfaceIndexOrAddress::Index(index))?;
    UdpSocket::from_std(socket.into())
}

fn open_v6(link: &str, index: u32) -> io::Result<UdpSocket> {
    let socket = socket(link, Domain::IPV6)?;
    socket.set_only_v6(true)?;
    socket.set_multicast_hops_v6(255)?;
    socket.set_multicast_loop_v6(false)?;
    socket.set_multicast_if_v6(index)?;
    socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT)).into())?;
    socket.join_multicast_v6(&GROUP_V6, index)?;
    UdpSocket::from_std(socket.into())
}
