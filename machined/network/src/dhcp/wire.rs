//! Real messages to real servers.

use std::collections::HashMap;
use std::future::pending;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use sys::packet::PacketSocket;
use tokio::net::UdpSocket;
use tokio::net::unix::pipe::Receiver;

use super::client::{Client, Wire};
use super::udp::{CLIENT_PORT, SERVER_PORT, unwrap, wrap};
use super::{Asker, DhcpError, LeaseSource, Reporter};

/// The largest packet.
const LONGEST: usize = 1500;

/// Real servers. Remembers each interface's last address, to request the same one again.
#[derive(Default)]
pub struct Servers {
    last: Mutex<HashMap<String, Ipv4Addr>>,
}

#[async_trait]
impl LeaseSource for Servers {
    async fn run(&self, link: Asker, report: Reporter) -> DhcpError {
        let known = self.lock().get(&link.name).copied();
        let name = link.name.clone();
        let wire = LinuxWire::new(name.clone(), link.index);
        // Seeded by the kernel's random numbers, so that the next transaction ID is unpredictable.
        let xid = RandomState::new().build_hasher().finish() as u32;
        let keep = |address: Option<Ipv4Addr>| {
            let mut last = self.lock();
            match address {
                Some(address) => last.insert(name.clone(), address),
                None => last.remove(&name),
            };
        };
        Client::new(wire, link, report, xid).run(keep, known).await
    }
}

impl Servers {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Ipv4Addr>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Receives raw packets: the node has no address at first, and a server revokes a lease by broadcast, which
/// a socket with the node's own address would not receive. Sends raw packets as long as the node has no address.
struct LinuxWire {
    link: String,
    index: u32,
    packets: Option<(PacketSocket, Receiver)>,
    /// Sends from the node's own address. Nothing is read from it.
    own: Option<(Ipv4Addr, UdpSocket)>,
}

impl LinuxWire {
    fn new(link: String, index: u32) -> Self {
        LinuxWire {
            link,
            index,
            packets: None,
            own: None,
        }
    }

    fn failed(&self, source: io::Error) -> DhcpError {
        DhcpError::Wire {
            link: self.link.clone(),
            source,
        }
    }

    fn packets(&mut self) -> Result<&PacketSocket, DhcpError> {
        if self.packets.is_none() {
            let socket = PacketSocket::open(self.index, CLIENT_PORT)?;
            // It is not a pipe, but is read and polled like one.
            let reader = socket.reader().and_then(Receiver::from_owned_fd_unchecked);
            let reader = reader.map_err(|source| self.failed(source))?;
            self.packets = Some((socket, reader));
        }
        let open = self.packets.as_ref().map(|(socket, _)| socket);
        open.ok_or_else(|| self.failed(io::ErrorKind::NotConnected.into()))
    }

    async fn speak(&mut self, own: Ipv4Addr, target: Ipv4Addr, message: &[u8]) -> io::Result<()> {
        let socket = match self.own.take() {
            Some((bound, socket)) if bound == own => socket,
            _ => {
                let socket = UdpSocket::bind((own, CLIENT_PORT)).await?;
                socket.bind_device(Some(self.link.as_bytes()))?;
                socket.set_broadcast(true)?;
                socket
            }
        };
        let (_, socket) = self.own.insert((own, socket));
        socket.send_to(message, (target, SERVER_PORT)).await?;
        Ok(())
    }
}

#[async_trait]
impl Wire for LinuxWire {
    async fn broadcast(&mut self, message: &[u8]) -> Result<(), DhcpError> {
        let sent = self.packets()?.broadcast(&wrap(message));
        sent.map_err(|source| self.failed(source))
    }

    async fn send(
        &mut self,
        own: Ipv4Addr,
        server: Option<Ipv4Addr>,
        message: &[u8],
    ) -> Result<(), DhcpError> {
        // Opened before the request, so that no reply is missed.
        self.packets()?;
        let target = server.unwrap_or(Ipv4Addr::BROADCAST);
        let sent = self.speak(own, target, message).await;
        sent.map_err(|source| self.failed(source))
    }

    async fn receive(&mut self) -> Result<Vec<u8>, DhcpError> {
        let Some((_, reader)) = &self.packets else {
            return pending().await;
        };
        let mut buffer = [0; LONGEST];
        loop {
            let ready = reader.readable().await;
            match ready.and_then(|()| reader.try_read(&mut buffer)) {
                Ok(length) => {
                    if let Some(message) = unwrap(&buffer[..length]) {
                        return Ok(message.to_vec());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
    }

    fn rest(&mut self) {
        (self.packets, self.own) = (None, None);
    }
}
