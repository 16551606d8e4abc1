//! Decides whether a node that follows a rollout by itself starts its upgrade.

use std::fmt;

use manifest::Digest;
use slots::Version;

use crate::{Moment, Rollout};

/// What a node knows about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeState<'a> {
    /// Its hostname, which determines its position.
    pub name: &'a str,
    /// Its board.
    pub board: &'a str,
    /// The version that is running.
    pub version: Version,
    /// SHA-256 of the manifest of the running release.
    pub manifest: Digest,
    /// Set when the running release is on trial.
    pub on_trial: bool,
    /// The current time; none while the clock is not synchronized.
    pub clock: Option<Moment>,
    /// The previous attempt to install this release on this node.
    pub before: PreviousAttempt,
}

/// The previous attempt to install a release on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PreviousAttempt {
    /// There was none.
    Never,
    /// It is in progress, or waits for the restart.
    Underway,
    /// The release could not be written; it was never started. It may be retried from this time on.
    Failed(Moment),
    /// It was started, or cancelled, and only a person may start it again. Holds what happened.
    Over(String),
}

/// What a node does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Follow {
    /// It waits; until this time, if known.
    Wait {
        /// When it may continue, if known.
        until: Option<Moment>,
        /// What it waits for.
        why: Wait,
    },
    /// It starts the upgrade.
    Begin,
    /// There is nothing to do for it.
    Done(Done),
}

/// What a node waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wait {
    /// A newer version of the document: this one is stopped.
    Stopped(String),
    /// A client: the document has no start time.
    Client,
    /// A synchronized clock.
    Clock,
    /// A newer version of the document: this one ended at this time.
    Ended(Moment),
    /// Its wave, counted from 0.
    Wave(usize),
    /// The end of the trial of the running release.
    Trial,
    /// The end of its upgrade to this release.
    Underway,
    /// The next retry.
    Retry,
}

/// Why there is nothing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// The release is running.
    Runs,
    /// The release is for another board.
    Board(String),
    /// A newer release is running.
    Newer(Version),
    /// It was tried here, and a person has to act. Holds what happened.
    Over(String),
}

/// Decides for one node. It knows nothing about other nodes: only a stop of the document holds it back.
pub fn follow(rollout: &Rollout, node: &NodeState<'_>) -> Follow {
    let wait = |why| Follow::Wait { until: None, why };
    let until = |moment, why| Follow::Wait {
        until: Some(moment),
        why,
    };
    let release = &rollout.bundle;
    if release.board != node.board {
        return Follow::Done(Done::Board(release.board.clone()));
    }
    if release.manifest == node.manifest {
        return match node.on_trial {
            true => wait(Wait::Trial),
            false => Follow::Done(Done::Runs),
        };
    }
    if release.version < node.version {
        return Follow::Done(Done::Newer(node.version));
    }
    let again = match &node.before {
        PreviousAttempt::Over(what) => return Follow::Done(Done::Over(what.clone())),
        PreviousAttempt::Underway => return wait(Wait::Underway),
        PreviousAttempt::Failed(again) => Some(*again),
        PreviousAttempt::Never => None,
    };
    if rollout.stopped {
        return wait(Wait::Stopped(rollout.reason.clone()));
    }
    let wave = rollout.wave(node.name);
    let Some(opens) = rollout.opens(wave) else {
        return wait(Wait::Client);
    };
    let Some(now) = node.clock else {
        return wait(Wait::Clock);
    };
    if let Some(ends) = rollout.ended(now) {
        return wait(Wait::Ended(ends));
    }
    if now < opens {
        return until(opens, Wait::Wave(wave));
    }
    if node.on_trial {
        return wait(Wait::Trial);
    }
    match again.filter(|again| now < *again) {
        Some(again) => until(again, Wait::Retry),
        None => Follow::Begin,
    }
}

impl Rollout {
    /// Returns when a wave, counted from 0, opens for nodes that follow by themselves; none when a client drives it.
    pub fn opens(&self, wave: usize) -> Option<Moment> {
        let pauses = u64::try_from(wave).unwrap_or(u64::MAX);
        self.begins
            .map(|begins| begins.after(self.pause_seconds.saturating_mul(pauses)))
    }

    /// Returns its end, if that has passed: from then on no node starts, by itself or driven by a client.
    pub fn ended(&self, now: Moment) -> Option<Moment> {
        self.ends.filter(|ends| now >= *ends)
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wait::Stopped(reason) => write!(f, "it is stopped: {reason}"),
            Wait::Client => f.write_str("it has no start time: `bedplate rollout run` drives it"),
            Wait::Clock => {
                f.write_str("the clock is not synchronized, so it is unknown whether its wave is open")
            }
            Wait::Ended(ends) => write!(f, "it ended at {ends}"),
            Wait::Wave(wave) => write!(f, "wave {} is not open yet", wave + 1),
            Wait::Trial => f.write_str("the running system is on trial"),
            Wait::Underway => f.write_str("its release is being installed"),
            Wait::Retry => f.write_str("its last attempt failed and will be retried"),
        }
    }
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Done::Runs => f.write_str("its release is running"),
            Done::Board(board) => write!(f, "its release is for board {board}"),
            Done::Newer(version) => write!(f, "{version} is running, which is newer"),
            Done::Over(what) => write!(
                f,
                "{what}; it will not be retried automatically: use `bedplate upgrade`, or publish a newer release"
            ),
        }
    }
}
