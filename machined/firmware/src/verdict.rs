//! Decides how a trial of firmware files ends.

use std::time::Duration;

/// How a trial goes on. Times are since the kernel started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is decided at that time, unless the health changes.
    Wait(Duration),
    /// The files are committed.
    Commit,
    /// The machine starts again, with the files before.
    TakeBack,
}

/// Decides by the health of the node, as for a system on trial: it has to last for `commit_after`, and to begin before the
/// `timeout`.
pub(crate) fn judge(
    now: Duration,
    healthy_since: Option<Duration>,
    commit_after: Duration,
    timeout: Duration,
) -> Verdict {
    match healthy_since.map(|since| since + commit_after) {
        Some(until) if now >= until => Verdict::Commit,
        Some(until) => Verdict::Wait(until),
        None if now >= timeout => Verdict::TakeBack,
        None => Verdict::Wait(timeout),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_that_lasts_commits_and_a_timeout_takes_back() {
        let s = Duration::from_secs;
        for (now, since, expected) in [
            (50, None, Verdict::Wait(s(600))),
            (50, Some(40), Verdict::Wait(s(70))),
            (70, Some(40), Verdict::Commit),
            (599, None, Verdict::Wait(s(600))),
            (600, None, Verdict::TakeBack),
            (610, Some(595), Verdict::Wait(s(625))),
            (625, Some(595), Verdict::Commit),
        ] {
            assert_eq!(
                judge(s(now), since.map(s), s(30), s(600)),
                expected,
                "{now} {since:?}"
            );
        }
    }
}
