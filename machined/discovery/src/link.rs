//! What is said on an interface, and when (RFC 6762). Pure: packets in, packets out.

use std::net::SocketAddr;
use std::time::Duration;

use announcement::{Announcement, ClusterTag, PORT, Packet, Query, Response, browse, label, read};
use tokio::time::Instant;

use crate::peers::Peers;

/// How often it is asked whether a name is free, and how far apart.
const PROBES: u8 = 3;
const PROBE_GAP: Duration = Duration::from_millis(250);
/// How often a node announces itself, and how far apart.
const ANNOUNCEMENTS: u8 = 2;
const ANNOUNCE_GAP: Duration = Duration::from_secs(1);
/// How long whoever loses a name to one that asks at the same time waits before it asks again.
const LOST: Duration = Duration::from_secs(1);
/// After so many conflicts every further attempt is slow.
const MANY_CONFLICTS: u32 = 15;
const SLOW: Duration = Duration::from_secs(5);
/// The largest number of a name; after that it starts again with the first.
const MOST_TAKEN: u32 = 99;
/// The least time between two answers to all, and before an answer that defends a name.
const ANSWER_GAP: Duration = Duration::from_secs(1);
const DEFENCE_GAP: Duration = Duration::from_millis(250);
/// The most answers that wait for their time.
const MOST_PENDING: usize = 4;
/// The least time between two answers to one that asked alone.
const UNICAST_GAP: Duration = Duration::from_millis(50);
/// The first pause between two questions, and the longest.
const BROWSE_GAPS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3600));

/// A packet that is to be sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Out {
    /// To all.
    All(Vec<u8>),
    /// To one.
    One(SocketAddr, Vec<u8>),
}

/// The node on an interface.
#[derive(Debug)]
pub(crate) struct Link {
    /// What the node says, by the name that it has or wants; none while it says nothing.
    me: Option<Announcement>,
    /// How many others had the names before.
    taken: u32,
    conflicts: u32,
    phase: Phase,
    pending: Vec<(Instant, Vec<u8>)>,
    /// When an answer to all was sent last, and one to one.
    answered: Option<Instant>,
    answered_one: Option<Instant>,
    cluster: Option<ClusterTag>,
    browse: (Instant, Duration),
    peers: Peers,
    changed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// It asks whether its names are free: so often already, and again then.
    Probing(u8, Instant),
    /// It announces itself: so often already, and again then.
    Announcing(u8, Instant),
    /// It answers.
    Settled,
}

impl Link {
    /// Makes one that says nothing yet.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            me: None,
            taken: 0,
            conflicts: 0,
            phase: Phase::Settled,
            pending: Vec::new(),
            answered: None,
            answered_one: None,
            cluster: None,
            browse: (now + jitter(20, 120), BROWSE_GAPS.0),
            peers: Peers::default(),
            changed: false,
        }
    }

    /// Sets what the node says, whose label is decided here, and the cluster whose nodes it looks for.
    pub(crate) fn set(
        &mut self,
        now: Instant,
        announcement: Option<Announcement>,
        cluster: Option<ClusterTag>,
    ) -> Vec<Out> {
        if cluster != self.cluster {
            self.changed |= self.peers.clear();
            self.cluster = cluster;
            self.browse = (now + jitter(20, 120), BROWSE_GAPS.0);
        }
        let before = self.me.take();
        let Some(mut wanted) = announcement else {
            self.pending.clear();
            return before
                .and_then(|before| before.goodbye())
                .map(Out::All)
                .into_iter()
                .collect();
        };
        match &before {
            Some(before) if before.node == wanted.node => {
                wanted.label.clone_from(&before.label);
                if *before != wanted && !matches!(self.phase, Phase::Probing(..)) {
                    self.phase = Phase::Announcing(0, now);
                }
            }
            _ => {
                self.taken = 0;
                wanted.label = label(&wanted.node, 0);
                self.phase = Phase::Probing(0, now + jitter(0, 250));
            }
        }
        let gone = before.filter(|before| before.label != wanted.label);
        self.me = Some(wanted);
        gone.and_then(|gone| gone.goodbye())
            .map(Out::All)
            .into_iter()
            .collect()
    }

    /// Takes a packet. Whoever sent it is on the same network.
    pub(crate) fn take(&mut self, now: Instant, from: SocketAddr, packet: &[u8]) -> Vec<Out> {
        match read(packet) {
            Some(Packet::Query(query)) => self.asked(now, from, &query).into_iter().collect(),
            Some(Packet::Response(response)) => {
                self.heard(now, &response);
                Vec::new()
            }
            None => Vec::new(),
        }
    }

    fn asked(&mut self, now: Instant, from: SocketAddr, query: &Query) -> Option<Out> {
        let me = self.me.as_ref()?;
        if let Phase::Probing(..) = self.phase {
            if me.contest(query).is_some_and(std::cmp::Ordering::is_lt) {
                self.phase = Phase::Probing(0, now + LOST);
            }
            return None;
        }
        let legacy = from.port() != PORT;
        let packet = me.reply(query, legacy)?;
        let since = |last: Option<Instant>, gap| last.is_none_or(|last| last + gap <= now);
        if legacy || (query.wants_unicast() && !query.is_probe()) {
            let may = since(self.answered_one, UNICAST_GAP);
            return may.then(|| {
                self.answered_one = Some(now);
                Out::One(from, packet)
            });
        }
        if query.is_probe() && since(self.answered, DEFENCE_GAP) {
            self.answered = Some(now);
            return Some(Out::All(packet));
        }
        let waiting = self.pending.iter().any(|(_, waiting)| *waiting == packet);
        if !waiting && self.pending.len() < MOST_PENDING {
            let soon = now + jitter(20, 120);
            let at = self.answered.map_or(soon, |last| soon.max(last + ANSWER_GAP));
            self.pending.push((at, packet));
        }
        None
    }

    fn heard(&mut self, now: Instant, response: &Response) {
        if let Some(me) = self.me.as_mut().filter(|me| me.conflicts_with(response)) {
            self.conflicts = self.conflicts.saturating_add(1);
            let pause = match self.conflicts > MANY_CONFLICTS {
                true => SLOW,
                false => jitter(0, 250),
            };
            // Who has it already asks once more; the name goes to one of the two then.
            if let Phase::Probing(..) = self.phase {
                self.taken = if self.taken < MOST_TAKEN {
                    self.taken + 1
                } else {
                    0
                };
                me.label = label(&me.node, self.taken);
                self.changed = true;
            }
            self.pending.clear();
            self.phase = Phase::Probing(0, now + pause);
        }
        for news in response.news() {
            self.changed |= self.peers.take(now, self.cluster.as_ref(), news);
        }
    }

    /// Does what is due.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<Out> {
        let mut out = Vec::new();
        if let Some(me) = &self.me {
            match self.phase {
                Phase::Probing(PROBES.., next) if next <= now => {
                    self.phase = Phase::Announcing(0, now);
                }
                Phase::Probing(sent, next) if next <= now => {
                    out.extend(me.probe().map(Out::All));
                    self.phase = Phase::Probing(sent + 1, now + PROBE_GAP);
                }
                _ => (),
            }
            if let Phase::Announcing(sent, next) = self.phase
                && next <= now
            {
                out.extend(me.announce().map(Out::All));
                self.answered = Some(now);
                self.changed |= sent == 0;
                self.phase = match sent + 1 {
                    ANNOUNCEMENTS.. => Phase::Settled,
                    sent => Phase::Announcing(sent, now + ANNOUNCE_GAP),
                };
            }
        }
        let (ready, waiting) = self.pending.drain(..).partition(|(at, _)| *at <= now);
        self.pending = waiting;
        for (_, packet) in ready {
            self.answered = Some(now);
            out.push(Out::All(packet));
        }
        self.changed |= self.peers.expire(now);
        if self.cluster.is_some() {
            let again = self.peers.ask(now);
            let (next, gap) = self.browse;
            if next <= now {
                self.browse = (now + gap, (gap * 2).min(BROWSE_GAPS.1));
            }
            if again || next <= now {
                // One that is to be refreshed is not told as known.
                out.extend(browse(self.peers.fresh(now)).map(Out::All));
            }
        }
        out
    }

    /// Returns when something is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        let phase = match self.phase {
            Phase::Probing(_, next) | Phase::Announcing(_, next) => self.me.as_ref().map(|_| next),
            Phase::Settled => None,
        };
        let browse = self.cluster.as_ref().map(|_| self.browse.0);
        let pending = self.pending.iter().map(|(at, _)| *at).min();
        [phase, browse, pending, self.peers.next()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Returns true once after something changed that others want to know.
    pub(crate) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Returns the name that the node has; none while it has none.
    pub(crate) fn name(&self) -> Option<String> {
        let me = self.me.as_ref()?;
        let has = !matches!(self.phase, Phase::Probing(..));
        has.then(|| format!("{}.local", me.label))
    }

    /// Lists whom it heard of.
    pub(crate) fn peers(&self) -> impl Iterator<Item = &Announcement> {
        self.peers.all()
    }

    /// Returns what is said at the end.
    pub(crate) fn goodbye(&self) -> Option<Vec<u8>> {
        self.name()?;
        self.me.as_ref()?.goodbye()
    }
}

/// Returns a random time between two numbers of milliseconds.
fn jitter(from: u64, to: u64) -> Duration {
    Duration::from_millis(rand::random_range(from..=to))
}

#[cfg(test)]
mod tests;
