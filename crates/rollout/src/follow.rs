//! Whether a node that follows a rollout by itself begins.

use std::fmt;

use manifest::Digest;
use slots::Version;

use crate::{Moment, Rollout};

/// Is what a node knows of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing<'a> {
    /// Its hostname, which gives it its place.
    pub name: &'a str,
    /// Its board.
    pub board: &'a str,
    /// The version that runs.
    pub version: Version,
    /// SHA-256 of the manifest of what runs.
    pub manifest: Digest,
    /// Whether what runs is on trial.
    pub on_trial: bool,
    /// The time; none while nobody vouches for the clock.
    pub clock: Option<Moment>,
    /// What became of this very release here before.
    pub before: Before,
}

/// What became of a release on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Before {
    /// It was never begun.
    Never,
    /// It is being brought, or waits to be started.
    Underway,
    /// It could not be brought; nothing was tried. It may be begun again from then on.
    Failed(Moment),
    /// It was tried or taken back, and only a person may begin it again. Says what happened.
    Over(String),
}

/// What a node does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Follow {
    /// It waits; where known, until then.
    Wait {
        /// When it may go on, as far as can be told.
        until: Option<Moment>,
        /// For what.
        why: Wait,
    },
    /// It begins.
    Begin,
    /// There is nothing to do for it.
    Done(Done),
}

/// What a node waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wait {
    /// A newer version of the document: this one is stopped.
    Stopped(String),
    /// A client: the document names no time.
    Client,
    /// A clock that somebody vouches for.
    Clock,
    /// A newer version of the document: this one counted until then.
    Ended(Moment),
    /// Its wave, counted from 0.
    Wave(usize),
    /// The end of the trial of what runs.
    Trial,
    /// The end of its upgrade to this release.
    Underway,
    /// The next try.
    Again,
}

/// Why there is nothing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// The release runs.
    Runs,
    /// The release is for another board.
    Board(String),
    /// What runs is newer.
    Newer(Version),
    /// It was tried here, and a person has to act. Says what happened.
    Over(String),
}

/// Decides for one node. What became of the other nodes it cannot know: only a stop holds it back.
pub fn follow(rollout: &Rollout, node: &Standing<'_>) -> Follow {
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
        Before::Over(what) => return Follow::Done(Done::Over(what.clone())),
        Before::Underway => return wait(Wait::Underway),
        Before::Failed(again) => Some(*again),
        Before::Never => None,
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
        Some(again) => until(again, Wait::Again),
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

    /// Returns its end, if that has come: nobody begins any more, by itself or driven by a client.
    pub fn ended(&self, now: Moment) -> Option<Moment> {
        self.ends.filter(|ends| now >= *ends)
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wait::Stopped(reason) => write!(f, "it is stopped: {reason}"),
            Wait::Client => f.write_str("it names no time: `bedplate rollout run` drives it"),
            Wait::Clock => {
                f.write_str("the clock is not in step with a server: whether its wave is open cannot be told")
            }
            Wait::Ended(ends) => write!(f, "it ended at {ends}"),
            Wait::Wave(wave) => write!(f, "wave {} is not open yet", wave + 1),
            Wait::Trial => f.write_str("the running system is on trial"),
            Wait::Underway => f.write_str("its release is on the way"),
            Wait::Again => f.write_str("it failed the last time, and is begun again"),
        }
    }
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Done::Runs => f.write_str("its release runs"),
            Done::Board(board) => write!(f, "its release is for board {board}"),
            Done::Newer(version) => write!(f, "{version} runs, which is newer"),
            Done::Over(what) => write!(
                f,
                "{what}; it is not begun again by itself: use `bedplate upgrade`, or publish a newer release"
            ),
        }
    }
}
