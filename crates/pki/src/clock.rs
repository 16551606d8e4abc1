//! What a node knows about the time.
//!
//! Many boards have no clock that survives a power cut. They start in 1970, or at the last time they saw, or decades ahead
//! because the clock was never set, and learn the true time from the network, perhaps never. Until then the node knows
//! only a *floor*: the latest time that has certainly passed. Two rules follow, so that such a node can always be reached:
//!
//! * the node's own certificate is valid from its authority's first day on, and lives long, until the clock is synchronized
//!   ([`NodeClock::plan`]);
//! * a client certificate that seems not to be valid *yet* is itself a proof of the time: our authority signed it, and
//!   it signs with a true clock ([`NodeClock::judge`]). An expired one stays expired.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use crate::Validity;
use crate::authority::SERVER_LIFE;

/// The lifetime of a certificate that was issued without a clock: longer than any board is in storage.
const CLOCKLESS_LIFE: Duration = Duration::from_secs(10 * 365 * 86400);

/// The start of a certificate that was issued without a clock, in seconds since 1970: the year 2000. The issuer limits it
/// to a later one.
const CLOCKLESS_START: Duration = Duration::from_secs(946_684_800);

/// The time, and how reliable it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The time, or at least a time that has certainly passed.
    pub at: SystemTime,
    /// Set when it is the actual time: only then is something known to be in the future.
    pub certain: bool,
}

impl Moment {
    /// Returns the time of a host, whose clock is maintained by its owner.
    pub fn of_host(at: SystemTime) -> Self {
        Self { at, certain: true }
    }
}

/// A node's knowledge of the time. Shared by the API server and the issuer of certificates.
#[derive(Debug, Default)]
pub struct NodeClock {
    /// Seconds since 1970: the latest time that has certainly passed.
    floor: AtomicU64,
    synchronised: AtomicBool,
}

impl NodeClock {
    /// Starts without any knowledge.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes one that trusts the system clock, as on a host.
    pub fn trusting() -> Self {
        let clock = Self::new();
        clock.set_synchronised(true);
        clock
    }

    /// Records that this time has passed. The floor never decreases.
    pub fn raise_floor(&self, moment: SystemTime) {
        self.floor.fetch_max(seconds(moment), Ordering::Relaxed);
    }

    /// Sets if the system clock is synchronized.
    pub fn set_synchronised(&self, synchronised: bool) {
        self.synchronised.store(synchronised, Ordering::Relaxed);
    }

    /// Returns true if the system clock is synchronized.
    pub fn is_synchronised(&self) -> bool {
        self.synchronised.load(Ordering::Relaxed)
    }

    /// Returns the time, or the floor while the system clock is not synchronized: it may be behind or ahead.
    pub fn now(&self, system: SystemTime) -> SystemTime {
        if self.is_synchronised() {
            return system;
        }
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.floor.load(Ordering::Relaxed))
    }

    /// Returns the time and its reliability.
    pub fn moment(&self, system: SystemTime) -> Moment {
        Moment {
            at: self.now(system),
            certain: self.is_synchronised(),
        }
    }

    /// Decides the validity of the node's own certificate, which its authority limits: [`Validity::within`].
    pub fn plan(&self, system: SystemTime) -> Validity {
        let now = self.now(system);
        if self.is_synchronised() {
            return Validity::starting(now, SERVER_LIFE);
        }
        Validity {
            not_before: SystemTime::UNIX_EPOCH + CLOCKLESS_START,
            not_after: now + CLOCKLESS_LIFE,
        }
    }

    /// Decides the time at which to check a client certificate that was signed by our authority.
    pub fn judge(&self, system: SystemTime, not_before: SystemTime) -> SystemTime {
        if self.is_synchronised() {
            return system;
        }
        self.now(system).max(not_before)
    }
}

fn seconds(moment: SystemTime) -> u64 {
    moment
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |length| length.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(day: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(day * 86400)
    }

    #[test]
    fn an_unsynchronized_clock_dates_no_certificate() {
        let clock = NodeClock::new();
        clock.raise_floor(day(20_000));
        clock.raise_floor(day(19_000));
        let plan = clock.plan(day(0));
        assert!(plan.not_before > day(10_000) && plan.not_before < day(20_000));
        assert!(plan.not_after > day(23_000), "lives until the clock is in step");
        assert_eq!(clock.plan(day(47_000)), plan, "nor in 2098");
    }

    #[test]
    fn with_a_clock_certificates_live_a_day() {
        let clock = NodeClock::trusting();
        clock.raise_floor(day(30_000));
        assert_eq!(clock.plan(day(20_000)).not_after, day(20_001));
    }

    #[test]
    fn a_signed_certificate_proves_the_time_only_without_a_clock() {
        let clock = NodeClock::new();
        clock.raise_floor(day(20_000));
        assert_eq!(clock.judge(day(0), day(20_500)), day(20_500));
        assert_eq!(
            clock.judge(day(0), day(100)),
            day(20_000),
            "an expired one stays expired"
        );
        assert_eq!(
            clock.judge(day(47_000), day(20_500)),
            day(20_500),
            "a clock ahead expires nothing"
        );
        clock.set_synchronised(true);
        assert_eq!(clock.judge(day(20_100), day(20_500)), day(20_100));
    }
}
