//! Decides whether a system on trial is committed.

use std::time::Duration;

/// The input of the decision. Times are since the kernel started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Now.
    pub now: Duration,
    /// Since when all required checks have been passing; none when one fails.
    pub healthy_since: Option<Duration>,
    /// How long they must pass.
    pub commit_after: Duration,
    /// The timeout of the trial.
    pub timeout: Duration,
}

/// The decision about a system on trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is unhealthy. Holds the time at which the trial times out.
    Wait(Duration),
    /// It is healthy. Holds the time at which that has been long enough.
    Hold(Duration),
    /// It is committed.
    Commit,
    /// It timed out: the old system starts again.
    FallBack,
}

/// Decides. A system that is healthy at its timeout gets the rest of the time it has to stay healthy.
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
    fn it_waits_holds_commits_or_falls_back() {
        assert_eq!(at(10, None), Verdict::Wait(s(600)));
        assert_eq!(at(20, Some(15)), Verdict::Hold(s(45)));
        assert_eq!(at(45, Some(15)), Verdict::Commit);
        assert_eq!(at(600, None), Verdict::FallBack);
        assert_eq!(
            at(601, Some(590)),
            Verdict::Hold(s(620)),
            "healthy at the last moment"
        );
    }

    proptest! {
        #[test]
        fn nothing_is_committed_that_was_not_healthy_for_long_enough(now in 0u64..2000, since in proptest::option::of(0u64..2000)) {
            let since = since.filter(|since| *since <= now);
            if at(now, since) == Verdict::Commit {
                prop_assert!(now - since.unwrap() >= 30);
            }
        }
    }
}
