//! The exchange with a DHCP server, from discovery to the end of a lease (RFC 2131, section 4.4).
//!
//! Every ignored message of a server is logged with its reason, once per run of the same reason.

use std::net::Ipv4Addr;
use std::time::Duration;

use async_trait::async_trait;
use quantity::human_time;
use tokio::time::{Instant, timeout};

use super::lease::{self, Terms};
use super::message::{Answer, Kind, Question};
use super::{Asker, DhcpError, LeaseError, Reporter};

/// The first timeout of a request; doubled up to the limit, as in RFC 2131, 4.1.
const FIRST_WAIT: Duration = Duration::from_secs(4);
const LONGEST_WAIT: Duration = Duration::from_secs(64);
/// How often an offer is requested before the node discovers another one, and how often a previous lease is.
const REQUESTS: u32 = 4;
const REPEATS: u32 = 2;
/// The shortest time between two requests to renew a lease.
const LEAST_RENEWAL_WAIT: Duration = Duration::from_secs(60);

/// Carries messages to and from servers on one interface.
#[async_trait]
pub(super) trait Wire: Send {
    /// Sends to all servers, from the unspecified address.
    async fn broadcast(&mut self, message: &[u8]) -> Result<(), DhcpError>;

    /// Sends from the node's own address, to one server or, if it is not named, to all.
    async fn send(
        &mut self,
        own: Ipv4Addr,
        server: Option<Ipv4Addr>,
        message: &[u8],
    ) -> Result<(), DhcpError>;

    /// Closes the sockets: nothing is sent or expected for a long time.
    fn rest(&mut self);

    /// Waits for the next message. May be dropped and called again: no message is lost.
    async fn receive(&mut self) -> Result<Vec<u8>, DhcpError>;
}

/// A valid lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bound {
    pub address: Ipv4Addr,
    pub server: Ipv4Addr,
    pub terms: Terms,
    pub since: Instant,
}

/// Talks to servers on one interface.
pub(super) struct Client<W> {
    pub wire: W,
    pub asker: Asker,
    pub report: Reporter,
    xid: u32,
    /// The last logged reason for ignoring a message.
    told: Option<String>,
}

/// The reply to a request.
enum Reply {
    Ack(Box<Bound>),
    Nak,
    Silence,
}

impl<W: Wire> Client<W> {
    /// Makes a client; `xid` is the first transaction ID, and should be unpredictable.
    pub(super) fn new(wire: W, asker: Asker, report: Reporter, xid: u32) -> Self {
        Client {
            wire,
            asker,
            report,
            xid,
            told: None,
        }
    }

    /// Acquires leases and renews them until the wire fails. `last` is the address to request first, and is kept
    /// up to date.
    pub(super) async fn run(
        mut self,
        mut last: impl FnMut(Option<Ipv4Addr>),
        known: Option<Ipv4Addr>,
    ) -> DhcpError {
        let mut known = known;
        loop {
            let bound = match self.acquire(known.take()).await {
                Ok(bound) => bound,
                Err(error) => return error,
            };
            last(Some(bound.address));
            if let Err(error) = self.hold(bound).await {
                return error;
            }
            last(None);
            self.report.report(None);
        }
    }

    /// Requests until there is a lease, first for the previous one.
    async fn acquire(&mut self, known: Option<Ipv4Addr>) -> Result<Bound, DhcpError> {
        if let Some(address) = known {
            match self.request(address, None, REPEATS).await? {
                Reply::Ack(bound) => return Ok(*bound),
                Reply::Nak => self.lost(),
                // A lease from before the cable was unplugged is still valid: no server has revoked it.
                Reply::Silence => {}
            }
        }
        let mut wait = FIRST_WAIT;
        loop {
            self.xid = self.xid.wrapping_add(1);
            let question = self.question(Kind::Discover);
            self.wire.broadcast(&question.bytes()).await?;
            if let Some((address, server)) = self.offer(wait).await? {
                match self.request(address, Some(server), REQUESTS).await? {
                    Reply::Ack(bound) => return Ok(*bound),
                    // Discovers another one at once, but not forever: the pause grows.
                    Reply::Nak | Reply::Silence => tokio::time::sleep(wait).await,
                }
            }
            // So that nodes that start at the same time after a power cut do not send at the same time.
            let apart = Duration::from_millis(u64::from(self.xid % 1000));
            wait = (wait * 2).min(LONGEST_WAIT) + apart;
        }
    }

    /// Waits for the first usable offer.
    async fn offer(&mut self, wait: Duration) -> Result<Option<(Ipv4Addr, Ipv4Addr)>, DhcpError> {
        let until = Instant::now() + wait;
        loop {
            let Some(answer) = self.next(until).await? else {
                self.tell("no DHCP server has offered an address that can be used".to_owned());
                return Ok(None);
            };
            if answer.kind != Kind::Offer {
                continue;
            }
            match lease::check(&answer) {
                Ok(_) => {
                    let server = answer.server().unwrap_or(Ipv4Addr::UNSPECIFIED);
                    return Ok(Some((answer.address, server)));
                }
                Err(reason) => self.refuse("offer", &answer, &reason),
            }
        }
    }

    /// Requests an address: one that a server offered, or the previous one, which any server may know.
    async fn request(
        &mut self,
        asked: Ipv4Addr,
        server: Option<Ipv4Addr>,
        times: u32,
    ) -> Result<Reply, DhcpError> {
        let mut wait = FIRST_WAIT;
        for _ in 0..times {
            let question = Question {
                asked: Some(asked),
                server,
                ..self.question(Kind::Request)
            };
            self.wire.broadcast(&question.bytes()).await?;
            match self.reply(Instant::now() + wait, server).await? {
                Reply::Silence => wait = (wait * 2).min(LONGEST_WAIT),
                reply => return Ok(reply),
            }
        }
        Ok(Reply::Silence)
    }

    /// Keeps a lease until it expires or is revoked.
    async fn hold(&mut self, mut bound: Bound) -> Result<(), DhcpError> {
        loop {
            let (renewal, rebinding, end) = bound.moments();
            self.wire.rest();
            tokio::time::sleep_until(renewal).await;
            let renewed = loop {
                let now = Instant::now();
                if now >= end {
                    tracing::warn!(
                        "network: {}: the lease of {} has ended",
                        self.asker.name,
                        bound.address
                    );
                    return Ok(());
                }
                // First the server that gave it, then any.
                let known = !bound.server.is_unspecified();
                let (server, until) = if now < rebinding && known {
                    (Some(bound.server), rebinding)
                } else {
                    (None, end)
                };
                self.xid = self.xid.wrapping_add(1);
                let question = Question {
                    own: Some(bound.address),
                    ..self.question(Kind::Request)
                };
                let asked = self.wire.send(bound.address, server, &question.bytes()).await;
                // The address, or the route to the server, may be temporarily gone: the lease is still valid.
                if let Err(error) = asked {
                    self.tell(state::chain(&error));
                }
                let wait = ((until - now) / 2).max(LEAST_RENEWAL_WAIT).min(until - now);
                match self.reply(now + wait, server).await? {
                    Reply::Ack(bound) => break bound,
                    Reply::Nak => {
                        self.lost();
                        return Ok(());
                    }
                    Reply::Silence => {}
                }
            };
            bound = *renewed;
        }
    }

    /// Waits for a server's reply to a request.
    async fn reply(&mut self, until: Instant, server: Option<Ipv4Addr>) -> Result<Reply, DhcpError> {
        while let Some(answer) = self.next(until).await? {
            // A refusal by a server that did not offer is ignored.
            let from = answer.server();
            if let (Some(expected), Some(from)) = (server, from)
                && !expected.is_unspecified()
                && expected != from
            {
                continue;
            }
            match answer.kind {
                Kind::Nak => {
                    let words = answer.words().filter(|words| !words.is_empty());
                    let words = words.map_or(String::new(), |words| format!(": {words:?}"));
                    tracing::warn!("network: {}: the DHCP server refused{words}", self.asker.name);
                    return Ok(Reply::Nak);
                }
                Kind::Ack => match lease::check(&answer) {
                    Ok(checked) => return Ok(Reply::Ack(Box::new(self.take(&answer, checked)))),
                    Err(reason) => self.refuse("lease", &answer, &reason),
                },
                _ => {}
            }
        }
        Ok(Reply::Silence)
    }

    fn take(&mut self, answer: &Answer, (lease, terms): (super::DhcpLease, Terms)) -> Bound {
        self.told = None;
        let (address, seconds) = (lease.address, lease.seconds);
        let time = human_time(Duration::from_secs(seconds.into()));
        tracing::info!("network: {}: leased {address} for {time}", self.asker.name);
        for remark in &lease.remarks {
            tracing::warn!("network: {}: {remark}", self.asker.name);
        }
        self.report.report(Some(lease));
        Bound {
            address: answer.address,
            server: answer.server().unwrap_or(Ipv4Addr::UNSPECIFIED),
            terms,
            since: Instant::now(),
        }
    }

    /// The server revoked the lease: the address is removed at once.
    fn lost(&self) {
        self.report.report(None);
    }

    /// Waits for the next reply to the last request.
    async fn next(&mut self, until: Instant) -> Result<Option<Answer>, DhcpError> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            // Cancel safe, see `Wire::receive`.
            let Ok(message) = timeout(left, self.wire.receive()).await else {
                return Ok(None);
            };
            match Answer::parse(&message?) {
                // For another client.
                Ok(answer) if (answer.xid, answer.mac) != (self.xid, self.asker.mac_address) => {}
                Ok(answer) => return Ok(Some(answer)),
                Err(reason) => self.tell(format!("a message of a DHCP server is ignored: {reason}")),
            }
        }
    }

    fn question(&self, kind: Kind) -> Question<'_> {
        Question {
            kind,
            xid: self.xid,
            mac: self.asker.mac_address,
            own: None,
            asked: None,
            server: None,
            hostname: self.asker.hostname.as_ref().map(|name| name.as_str()),
        }
    }

    fn refuse(&mut self, what: &str, answer: &Answer, reason: &LeaseError) {
        let server = answer
            .server()
            .map_or("a server that does not say its name".to_owned(), |server| {
                server.to_string()
            });
        self.tell(format!("the {what} of {server} is ignored: {reason}"));
    }

    /// Logs why a message is ignored, unless that was the last thing logged.
    fn tell(&mut self, sentence: String) {
        if self.told.as_ref() != Some(&sentence) {
            tracing::warn!("network: {}: {sentence}", self.asker.name);
            self.told = Some(sentence);
        }
    }
}

impl Bound {
    /// Returns when to renew it, when to ask any server, and when it ends.
    fn moments(&self) -> (Instant, Instant, Instant) {
        let after = |seconds: u32| self.since + Duration::from_secs(seconds.into());
        (
            after(self.terms.renewal),
            after(self.terms.rebinding),
            after(self.terms.end),
        )
    }
}

#[cfg(test)]
mod tests;
