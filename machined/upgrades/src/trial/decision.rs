//! Decides what becomes of a system on trial.

use std::time::Duration;

/// What the decision is made from. Times are since the kernel started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Now.
    pub now: Duration,
    /// Since when everything that is required holds without a break; none when it does not.
    pub healthy_since: Option<Duration>,
    /// How long it must hold.
    pub commit_after: Duration,
    /// How long the system may take.
    pub timeout: Duration,
}

/// What becomes of a system on trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is not well. At this moment it has had its time.
    Wait(Duration),
    /// It is well. At this moment it has been so for long enough.
    Hold(Duration),
    /// It is kept.
    Commit,
    /// It has had its time: back to the old one.
    FallBack,
}

/// Decides. A system that is well when its time is over is given the rest of the while it has to hold.
pub fn decide(facts: Facts) -> Verdict {
    let Facts {
        now,
        healthy_since,
        commit_after,
        timeout,
    } = facts;
    match healthy_since {
        Some(since) if now >= since + commit_after => Verdict::Commit,
        Some(since) => Verdict::Hold(since + commit_after),
        None if now >= timeout => Verdict::FallBack,
        None => Verdict::Wait(timeout),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn at(now: u64, healthy_since: Option<u64>) -> Verdict {
        decide(Facts {
            now: s(now),
            healthy_since: healthy_since.map(s),
            commit_after: s(30),
            timeout: s(600),
        })
    }

    #[test]
    fn waits_holds_commits_or_gives_up() {
        assert_eq!(at(10, None), Verdict::Wait(s(600)));
        assert_eq!(at(20, Some(15)), Verdict::Hold(s(45)));
        assert_eq!(at(45, Some(15)), Verdict::Commit);
        assert_eq!(at(600, None), Verdict::FallBack);
        assert_eq!(
            at(601, Some(590)),
            Verdict::Hold(s(620)),
            "well at the last moment"
        );
    }

    proptest! {
        #[test]
        fn never_keeps_what_was_not_well_for_long_enough(now in 0u64..2000, since in proptest::option::of(0u64..2000)) {
            let since = since.filter(|since| *since <= now);
            if at(now, since) == Verdict::Commit {
                prop_assert!(now - since.unwrap() >= 30);
            }
        }
    }
}
