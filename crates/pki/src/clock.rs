//! What a node may believe about the time.
//!
//! Many boards have no clock that survives a power cut. They start in 1970, or at the last time they saw, or have one
//! that was never set right and is decades ahead, and learn the true time from the network, perhaps never. Until then the node knows only a *floor*: the latest moment that
//! has certainly passed. Two rules follow from it, and from them that such a node can always be reached:
//!
//! * the node's own certificate is valid from its authority's first day on, and lives long, until the clock is in step
//!   ([`NodeClock::plan`]);
//! * a client certificate that seems not to be valid *yet* is itself a proof of the time: our authority signed it, and
//!   it signs with a true clock ([`NodeClock::judge`]). An expired one stays expired.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use crate::Validity;
use crate::authority::SERVER_LIFE;

/// How long a certificate lives that was made without a clock: longer than any board lies in a drawer.
const CLOCKLESS_LIFE: Duration = Duration::from_secs(10 * 365 * 86400);

/// The first day of a certificate that was made without a clock, in seconds since 1970: the year 2000. Who signs it cuts
/// it to a later one.
const CLOCKLESS_START: Duration = Duration::from_secs(946_684_800);

/// The time, and how far it can be relied upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The time, or at least a moment that has certainly passed.
    pub at: SystemTime,
    /// Set when it is the time: only then is something known to lie in the future.
    pub certain: bool,
}

impl Moment {
    /// Takes the time of a host, whose clock is kept by its owner.
    pub fn of_host(at: SystemTime) -> Self {
        Self { at, certain: true }
    }
}

/// What the node knows about the time. Shared by the API server and whoever issues certificates.
#[derive(Debug, Default)]
pub struct NodeClock {
    /// Seconds since 1970: the latest moment that has certainly passed.
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

    /// Tells that this moment has passed. The floor never sinks.
    pub fn raise_floor(&self, moment: SystemTime) {
        self.floor.fetch_max(seconds(moment), Ordering::Relaxed);
    }

    /// Returns true if the system clock follows a true one.
    pub fn set_synchronised(&self, synchronised: bool) {
        self.synchronised.store(synchronised, Ordering::Relaxed);
    }

    /// Returns whether the system clock follows a true one.
    pub fn is_synchronised(&self) -> bool {
        self.synchronised.load(Ordering::Relaxed)
    }

    /// Returns the time, or while the system clock follows nobody, the floor: such a clock may be behind or ahead.
    pub fn now(&self, system: SystemTime) -> SystemTime {
        if self.is_synchronised() {
            return system;
        }
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.floor.load(Ordering::Relaxed))
    }

    /// Returns what may be relied upon of the time.
    pub fn moment(&self, system: SystemTime) -> Moment {
        Moment {
            at: self.now(system),
            certain: self.is_synchronised(),
        }
    }

    /// Decides the dates of the node's own certificate, which its authority's own dates cut: [`Validity::within`].
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

    /// Decides at which moment a client certificate, that was signed by our authority, is to be checked.
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
    fn without_a_clock_nothing_is_dated_by_it() {
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
    fn a_signed_certificate_proves_the_time_only_to_those_who_do_not_know_it() {
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
