//! The exchange with a DHCPv6 server (RFC 8415, section 18): for an address, or for settings alone.

use std::net::{Ipv6Addr, SocketAddrV6};
use std::time::Duration;

use async_trait::async_trait;
use state::kinds::Dhcp6Lease;
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep_until, timeout};

use super::super::leases::Reporter;
use super::message::{Answer, AnswerError, Kind, Question, read};
use super::{Asker, Dhcp6Error};

const SERVERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);
const CLIENT_PORT: u16 = 546;
const SERVER_PORT: u16 = 547;
const LONGEST: usize = 1500;

/// The first and the longest timeout of a request; doubled in between.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// How often an offer is requested before the node discovers another one.
const REQUESTS: u32 = 5;
/// The first timeout of a renewal.
const RENEWAL_WAIT: Duration = Duration::from_secs(10);

/// Carries messages to and from servers on one interface.
#[async_trait]
pub(super) trait Wire: Send {
    /// Sends to all servers.
    async fn send(&mut self, message: &[u8]) -> Result<(), Dhcp6Error>;

    /// Waits for the next message. May be dropped and called again: no message is lost.
    async fn receive(&mut self) -> Result<Vec<u8>, Dhcp6Error>;
}

/// A socket of the interface's own link-local address.
pub(super) struct Udp {
    socket: UdpSocket,
    link: String,
    index: u32,
}

impl Udp {
    /// Opens the socket. Fails while the address is still being checked.
    pub(super) async fn open(asker: &Asker) -> Result<Self, Dhcp6Error> {
        let own = SocketAddrV6::new(asker.own, CLIENT_PORT, 0, asker.index);
        let (link, index) = (asker.name.clone(), asker.index);
        match UdpSocket::bind(own).await {
            Ok(socket) => Ok(Udp { socket, link, index }),
            Err(source) => Err(Dhcp6Error { link, source }),
        }
    }

    fn failed(&self, source: std::io::Error) -> Dhcp6Error {
        Dhcp6Error {
            link: self.link.clone(),
            source,
        }
    }
}

#[async_trait]
impl Wire for Udp {
    async fn send(&mut self, message: &[u8]) -> Result<(), Dhcp6Error> {
        let servers = SocketAddrV6::new(SERVERS, SERVER_PORT, 0, self.index);
        let sent = self.socket.send_to(message, servers).await;
        sent.map(drop).map_err(|source| self.failed(source))
    }

    async fn receive(&mut self) -> Result<Vec<u8>, Dhcp6Error> {
        let mut buffer = [0; LONGEST];
        let received = self.socket.recv(&mut buffer).await;
        let length = received.map_err(|source| self.failed(source))?;
        Ok(buffer[..length].to_vec())
    }
}

/// Talks to servers on one interface.
pub(super) struct Client<W> {
    wire: W,
    asker: Asker,
    report: Reporter<Dhcp6Lease>,
    xid: u32,
    told: Option<String>,
}

impl<W: Wire> Client<W> {
    /// Makes a client; `xid` is the first transaction ID, and should be unpredictable.
    pub(super) fn new(wire: W, asker: Asker, report: Reporter<Dhcp6Lease>, xid: u32) -> Self {
        Client {
            wire,
            asker,
            report,
            xid,
            told: None,
        }
    }

    /// Acquires what the routers announce, and renews it, until the wire fails.
    pub(super) async fn run(mut self) -> Result<(), Dhcp6Error> {
        loop {
            if self.asker.managed {
                let answer = self.acquire().await?;
                self.hold(answer).await?;
                self.report.report(None);
            } else {
                let answer = self.ask(Kind::Information, None, FIRST_WAIT, None).await?;
                let Some(answer) = answer else { continue };
                let again = Instant::now() + Duration::from_secs(answer.renewal.into());
                self.take(&answer);
                sleep_until(again).await;
            }
        }
    }

    /// Requests until there is an address.
    async fn acquire(&mut self) -> Result<Answer, Dhcp6Error> {
        loop {
            let offer = self.ask(Kind::Solicit, None, FIRST_WAIT, None).await?;
            let Some(offer) = offer else { continue };
            let until = Instant::now() + FIRST_WAIT * 2_u32.pow(REQUESTS);
            if let Some(given) = self
                .ask(Kind::Request, Some(&offer), FIRST_WAIT, Some(until))
                .await?
            {
                self.take(&given);
                return Ok(given);
            }
        }
    }

    /// Keeps an address until it expires.
    async fn hold(&mut self, mut bound: Answer) -> Result<(), Dhcp6Error> {
        loop {
            let start = Instant::now();
            let after = |seconds: u32| start + Duration::from_secs(seconds.into());
            let (renewal, rebinding, end) = (
                after(bound.renewal),
                after(bound.rebinding),
                after(bound.lease.seconds),
            );
            sleep_until(renewal).await;
            let mut more = self
                .ask(Kind::Renew, Some(&bound), RENEWAL_WAIT, Some(rebinding.min(end)))
                .await?;
            if more.is_none() {
                more = self
                    .ask(Kind::Rebind, Some(&bound), RENEWAL_WAIT, Some(end))
                    .await?;
            }
            let Some(more) = more else {
                tracing::warn!("network: {}: the address by DHCPv6 has ended", self.asker.name);
                return Ok(());
            };
            self.take(&more);
            bound = more;
        }
    }

    /// Requests until there is a usable reply, or it is too late.
    async fn ask(
        &mut self,
        kind: Kind,
        about: Option<&Answer>,
        first: Duration,
        until: Option<Instant>,
    ) -> Result<Option<Answer>, Dhcp6Error> {
        self.xid = self.xid.wrapping_add(1) & 0x00ff_ffff;
        let (start, mut wait) = (Instant::now(), first);
        let expected = if kind == Kind::Solicit {
            Kind::Advertise
        } else {
            Kind::Reply
        };
        let one_server = matches!(kind, Kind::Request | Kind::Renew);
        loop {
            let question = Question {
                kind,
                xid: self.xid,
                mac: self.asker.mac_address,
                server: about.filter(|_| one_server).map(|answer| &answer.server[..]),
                address: about.and_then(|answer| answer.lease.address),
                elapsed: u16::try_from(start.elapsed().as_millis() / 10).unwrap_or(u16::MAX),
            };
            self.wire.send(&question.bytes()).await?;
            let limit = Instant::now() + wait;
            let limit = until.map_or(limit, |until| until.min(limit));
            while let Some(message) = self.next(limit).await? {
                match read(&message, self.xid, self.asker.mac_address, self.asker.managed) {
                    Ok(answer) if answer.kind == expected => return Ok(Some(answer)),
                    Ok(_) | Err(AnswerError::Foreign) => {}
                    Err(reason) => self.tell(format!("a message of a DHCPv6 server is ignored: {reason}")),
                }
            }
            if until.is_some_and(|until| until <= Instant::now()) {
                return Ok(None);
            }
            self.tell("no DHCPv6 server has replied, although a router announces one".to_owned());
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    async fn next(&mut self, until: Instant) -> Result<Option<Vec<u8>>, Dhcp6Error> {
        let left = until.saturating_duration_since(Instant::now());
        // Cancel safe, see `Wire::receive`.
        timeout(left, self.wire.receive()).await.ok().transpose()
    }

    fn take(&mut self, answer: &Answer) {
        self.told = None;
        let what = answer
            .lease
            .address
            .map_or("settings".to_owned(), |address| address.to_string());
        tracing::info!("network: {}: {what} by DHCPv6", self.asker.name);
        self.report.report(Some(answer.lease.clone()));
    }

    /// Logs something, unless it was the last thing logged.
    fn tell(&mut self, sentence: String) {
        if self.told.as_ref() != Some(&sentence) {
            tracing::warn!("network: {}: {sentence}", self.asker.name);
            self.told = Some(sentence);
        }
    }
}

#[cfg(test)]
mod tests;
