//! How patient a control plane is: by how fast its disk is.

use std::time::Duration;

/// The slowest disk for which there are settings: the 99th percentile of a flush.
pub const SLOWEST: Duration = Duration::from_millis(500);
/// The slowest disk that etcd's own settings are made for.
const FAST: Duration = Duration::from_millis(50);
/// How often etcd's leader shows that it is there, on a fast disk.
const HEARTBEAT: Duration = Duration::from_millis(100);
/// How many heartbeats may be missed before another is elected.
const ELECTION_BEATS: u32 = 10;

/// How patient etcd and the components that elect a leader are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuning {
    /// How often etcd's leader shows that it is there.
    pub heartbeat: Duration,
    /// How long etcd's other members wait for it.
    pub election: Duration,
    /// How long the controller manager's and the scheduler's lease is good.
    pub lease: Duration,
    /// How long a holder tries to renew its lease before it gives up.
    pub renew: Duration,
    /// How long it waits between two tries.
    pub retry: Duration,
    /// How long events are kept.
    pub events: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Self::times(1)
    }
}

impl Tuning {
    /// Follows from the 99th percentile of how long a flush to etcd's disk takes.
    ///
    /// A heartbeat is at least twice that long, in steps of 100 ms, and an election ten heartbeats; leases grow alike. So an
    /// unlucky flush never looks like a lost leader. A disk slower than [`SLOWEST`] gets the settings of one that is not.
    pub fn for_disk(flush: Duration) -> Self {
        let steps = flush.min(SLOWEST).as_micros().div_ceil(FAST.as_micros());
        Self::times(u32::try_from(steps).unwrap_or(1).max(1))
    }

    /// Makes everything so many times as patient as on a fast disk. There, etcd's times are upstream's. Each renewal of a
    /// lease is a flush, so leases are renewed less often, and are longer by that much only: a control plane that lost its
    /// power waits for its own old ones.
    fn times(times: u32) -> Self {
        let heartbeat = HEARTBEAT * times;
        // A lease is written, too, but a second one: half as fast is enough.
        let leases = times.div_ceil(2);
        Self {
            heartbeat,
            election: heartbeat * ELECTION_BEATS,
            lease: Duration::from_secs(20) * leases,
            renew: Duration::from_secs(15) * leases,
            retry: Duration::from_secs(5) * leases,
            events: Duration::from_secs(1800),
        }
    }
}

/// Writes a duration as etcd's flags have it: in milliseconds.
pub(crate) fn milliseconds(duration: Duration) -> String {
    duration.as_millis().to_string()
}

/// Writes a duration as flags and configs of Kubernetes have it.
pub(crate) fn seconds(duration: Duration) -> String {
    format!("{}s", duration.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slower_disk_is_waited_for_longer() {
        let of = |ms| Tuning::for_disk(Duration::from_millis(ms));
        assert_eq!(of(0), Tuning::default());
        assert_eq!(of(50), Tuning::default());
        let slow = of(120);
        assert_eq!(
            (slow.heartbeat.as_millis(), slow.election.as_millis()),
            (300, 3000)
        );
        assert_eq!(
            (slow.lease.as_secs(), slow.renew.as_secs(), slow.retry.as_secs()),
            (40, 30, 10)
        );
        assert_eq!(of(10_000), of(500));
        for ms in 0..600 {
            let tuning = of(ms);
            assert!(tuning.heartbeat >= 2 * Duration::from_millis(ms.min(500)), "{ms}");
            assert!(tuning.election <= Duration::from_secs(50), "etcd takes no more");
            assert!(tuning.renew < tuning.lease && tuning.retry < tuning.renew);
        }
    }
}
