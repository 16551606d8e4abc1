//! The conditions under which a call was allowed, and whether they still hold.
//!
//! A call can be under way for long: its body may be held back, it may wait for a lock, a stream may never end.
//! Meanwhile maintenance mode may end, the authority may change, a certificate may expire. So what the guard found
//! travels with the call, and is checked again at each of its steps.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use pki::{Fingerprint, NodeClock, ServerTls, Trusted};

use super::peer::Peer;

/// Interval at which the clock is polled: nothing else shows that it was set.
const LOOK: Duration = Duration::from_secs(30);

/// The conditions under which a call may continue: the CA it was made under, and the validity of its caller's certificate.
/// Clones share them.
#[derive(Debug, Clone)]
pub struct Grant {
    terms: Terms,
    tls: Arc<ServerTls>,
    clock: Arc<NodeClock>,
    settled: Arc<AtomicBool>,
}

/// The terms of a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Fingerprint of the CA that vouches for the caller; none in maintenance mode.
    pub trust: Option<Fingerprint>,
    /// Validity of the caller's certificate; none in maintenance mode.
    pub life: Option<(SystemTime, SystemTime)>,
}

/// The reason why a call may not continue, or a connection may not make another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Revoked {
    /// The CA of the client is no longer accepted.
    #[error(
        "the node's CA has changed since the connection was made; connect again with a certificate of the new CA"
    )]
    Authority,
    /// The node no longer has a CA.
    #[error("the node is back in maintenance mode; connect again without a certificate")]
    Maintenance,
    /// The client certificate has expired.
    #[error(
        "the client certificate has expired since the connection was made; generate a new one with `bedplate gen client`"
    )]
    Expired,
    /// The node has no certificate at the moment: nothing new starts, and calls in progress continue.
    #[error("the node has no certificate at the moment; connect again in a few seconds")]
    NotServing,
}

impl Grant {
    /// Returns the grant of a peer.
    pub fn of(peer: &Peer, tls: Arc<ServerTls>, clock: Arc<NodeClock>) -> Self {
        let identity = peer.identity.as_ref();
        Self {
            terms: Terms {
                trust: peer.trust,
                life: identity.map(|identity| (identity.not_before, identity.not_after)),
            },
            tls,
            clock,
            settled: Arc::default(),
        }
    }

    /// Returns the fingerprint of the CA that vouches for the caller; none in maintenance mode.
    pub fn trust(&self) -> Option<Fingerprint> {
        self.terms.trust
    }

    /// Checks that the call may continue.
    pub fn check(&self) -> Result<(), Revoked> {
        let serving = self.tls.current();
        let serving = serving.as_ref().map(|serving| serving.trust.as_ref());
        let judge = |not_before| self.clock.judge(SystemTime::now(), not_before);
        self.terms.check(serving, judge)
    }

    /// Exempts the call from further checks: it has passed its last one and acts now, which may change whom the node trusts.
    /// A caller that ends maintenance mode must still receive the response.
    pub fn settle(&self) {
        self.settled.store(true, Ordering::Relaxed);
    }

    /// Waits until the call may no longer continue.
    ///
    /// Cancel safe. Ready as soon as the authority has changed or the certificate has expired; after the clock was set,
    /// half a minute later at the latest.
    pub async fn revoked(&self) -> Revoked {
        let mut changes = self.tls.subscribe();
        loop {
            match self.check() {
                // Undecided: it is decided when the node serves again.
                Ok(()) | Err(Revoked::NotServing) => {}
                Err(_) if self.settled.load(Ordering::Relaxed) => {}
                Err(why) => return why,
            }
            tokio::select! {
                // Cancel safe: a change that is not seen is looked for again. The sender lives in `self`.
                _ = changes.changed() => {}
                // Cancel safe: only a pause.
                () = tokio::time::sleep(self.pause()) => {}
            }
        }
    }

    fn pause(&self) -> Duration {
        let Some((not_before, not_after)) = self.terms.life else {
            return LOOK;
        };
        let left = not_after.duration_since(self.clock.judge(SystemTime::now(), not_before));
        // Not on the very moment, when it may still hold.
        left.unwrap_or(LOOK)
            .saturating_add(Duration::from_millis(1))
            .min(LOOK)
    }
}

impl Terms {
    /// Decides whether the terms hold. `serving` are the CAs that the node accepts now, if it serves at all; others may have
    /// come and gone beside that of the caller. `now` returns the time by which to judge a certificate that is valid from the given time.
    pub fn check(
        &self,
        serving: Option<Option<&Trusted>>,
        now: impl FnOnce(SystemTime) -> SystemTime,
    ) -> Result<(), Revoked> {
        match (serving, self.trust) {
            (None, _) => return Err(Revoked::NotServing),
            (Some(None), None) => {}
            (Some(None), Some(_)) => return Err(Revoked::Maintenance),
            (Some(Some(accepted)), Some(own)) if accepted.contains(own) => {}
            (Some(Some(_)), _) => return Err(Revoked::Authority),
        }
        match self.life {
            Some((not_before, not_after)) if not_after < now(not_before) => Err(Revoked::Expired),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authority(name: &str) -> (Option<Fingerprint>, String) {
        let made = pki::Authority::generate(name, SystemTime::now()).unwrap();
        (
            Some(made.certificate().fingerprint()),
            made.certificate_pem().to_owned(),
        )
    }

    #[test]
    fn terms_hold_while_their_authority_is_accepted_and_in_time() {
        let moment = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let ((home, own), (_, other)) = (authority("home"), authority("away"));
        let [both, away] = [format!("{other}{own}"), other].map(|text| Trusted::of(&text).unwrap());
        let own = Trusted::of(&own).unwrap();
        let (own, both, away) = (Some(Some(&own)), Some(Some(&both)), Some(Some(&away)));
        let life = Some((moment(10), moment(20)));
        let cases = [
            (home, life, own, 20, None),
            (home, life, both, 20, None),
            (home, life, own, 21, Some(Revoked::Expired)),
            (home, life, away, 15, Some(Revoked::Authority)),
            (home, life, Some(None), 15, Some(Revoked::Maintenance)),
            (home, life, None, 15, Some(Revoked::NotServing)),
            (None, None, Some(None), 99, None),
            (None, None, own, 15, Some(Revoked::Authority)),
            (None, None, None, 15, Some(Revoked::NotServing)),
        ];
        for (trust, life, serving, now, expected) in cases {
            let found = Terms { trust, life }.check(serving, |_| moment(now));
            assert_eq!(found.err(), expected, "{trust:?} {serving:?} {now}");
        }
    }
}
