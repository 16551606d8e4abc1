//! Asks one time server, by the library sntpc.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use sntpc::{NtpContext, NtpTimestampGenerator, NtpUdpSocket};
use sys::clock::Clock;
use tokio::net::{UdpSocket, lookup_host};
use tokio::time::timeout;

use super::discipline::Sample;

/// The port of time servers.
const PORT: u16 = 123;
/// How long a server may take. Looking up its name has as long again.
const PATIENCE: Duration = Duration::from_secs(4);

/// Asks a time server once.
#[async_trait]
pub trait TimeSource: Send + Sync {
    /// Returns what the server said.
    async fn ask(&self, server: &str) -> Result<Sample, SntpError>;
}

/// Why a server is of no use now.
#[derive(Debug, thiserror::Error)]
pub enum SntpError {
    /// Its name is not known, or nobody could be asked for it.
    #[error("time server {server}: its name could not be looked up")]
    Name {
        /// The server.
        server: String,
        /// What the resolver said.
        #[source]
        source: io::Error,
    },
    /// It could not be reached.
    #[error("time server {server} cannot be reached")]
    Unreachable {
        /// The server.
        server: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// It did not answer.
    #[error("time server {server} did not answer")]
    Silent {
        /// The server.
        server: String,
    },
    /// It gave an answer that is none.
    #[error("time server {server} gave a useless answer ({answer:?})")]
    Useless {
        /// The server.
        server: String,
        /// What is wrong with it.
        answer: sntpc::Error,
    },
}

/// Asks over UDP.
pub struct Sntp {
    clock: Arc<dyn Clock>,
    port: u16,
}

impl Sntp {
    /// Measures against a clock.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, port: PORT }
    }

    /// Asks at another port than servers have.
    #[cfg(test)]
    pub(super) fn at_port(clock: Arc<dyn Clock>, port: u16) -> Self {
        Self { clock, port }
    }

    /// Looks a name up; an address is its own answer. The first address counts: the resolver sorted them.
    async fn address(&self, server: &str) -> Result<SocketAddr, SntpError> {
        if let Ok(ip) = server.parse::<IpAddr>() {
            return Ok((ip, self.port).into());
        }
        let named = |source| SntpError::Name {
            server: server.to_owned(),
            source,
        };
        let looked = timeout(PATIENCE, lookup_host((server, self.port))).await;
        let looked = looked.map_err(|_| named(io::ErrorKind::TimedOut.into()))?;
        looked
            .map_err(named)?
            .next()
            .ok_or_else(|| named(io::ErrorKind::NotFound.into()))
    }
}

#[async_trait]
impl TimeSource for Sntp {
    async fn ask(&self, server: &str) -> Result<Sample, SntpError> {
        let address = self.address(server).await?;
        let unreachable = |source| SntpError::Unreachable {
            server: server.to_owned(),
            source,
        };
        let any: IpAddr = if address.is_ipv4() {
            Ipv4Addr::UNSPECIFIED.into()
        } else {
            Ipv6Addr::UNSPECIFIED.into()
        };
        // A port of its own for each question: who did not see it cannot forge the answer.
        let socket = UdpSocket::bind((any, 0)).await.map_err(unreachable)?;
        // Connected, so that the kernel drops what others send and tells when nobody listens.
        socket.connect(address).await.map_err(unreachable)?;
        let context = NtpContext::new(Stamp {
            clock: self.clock.as_ref(),
            now: Duration::ZERO,
        });
        match timeout(PATIENCE, sntpc::get_time(address, &Connected(socket), context)).await {
            Err(_) => Err(SntpError::Silent {
                server: server.to_owned(),
            }),
            Ok(Err(sntpc::Error::Network)) => Err(unreachable(io::ErrorKind::HostUnreachable.into())),
            Ok(Err(answer)) => Err(SntpError::Useless {
                server: server.to_owned(),
                answer,
            }),
            Ok(Ok(result)) => Ok(Sample {
                server: server.to_owned(),
                offset_micros: result.offset(),
                delay: Duration::from_micros(result.roundtrip()),
            }),
        }
    }
}

/// A socket that speaks to one server only.
struct Connected(UdpSocket);

impl NtpUdpSocket for Connected {
    async fn send_to(&self, bytes: &[u8], _: SocketAddr) -> sntpc::Result<usize> {
        self.0.send(bytes).await.map_err(|_| sntpc::Error::Network)
    }

    async fn recv_from(&self, bytes: &mut [u8]) -> sntpc::Result<(usize, SocketAddr)> {
        let received = self.0.recv(bytes).await.map_err(|_| sntpc::Error::Network)?;
        Ok((received, self.0.peer_addr().map_err(|_| sntpc::Error::Network)?))
    }
}

/// The clock's time for sntpc.
#[derive(Clone, Copy)]
struct Stamp<'a> {
    clock: &'a dyn Clock,
    now: Duration,
}

impl NtpTimestampGenerator for Stamp<'_> {
    fn init(&mut self) {
        self.now = self.clock.now().duration_since(UNIX_EPOCH).unwrap_or_default();
    }

    fn timestamp_sec(&self) -> u64 {
        self.now.as_secs()
    }

    fn timestamp_subsec_micros(&self) -> u32 {
        self.now.subsec_micros()
    }
}

/// The clock's time as a number for people and resources.
pub(super) fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
