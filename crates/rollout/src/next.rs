//! Decides what a client does next.

use crate::Rollout;

/// The state of a node in the rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It has not been started.
    Pending,
    /// It is being upgraded.
    Running,
    /// It was running the release before the rollout.
    Already,
    /// It was upgraded.
    Upgraded,
    /// Its upgrade failed.
    Failed,
}

/// A node of the fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Its wave, from 0.
    pub wave: usize,
    /// Its state.
    pub turn: Turn,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Start the node of this number.
    Begin(usize),
    /// Wait until a running one finishes.
    Wait,
    /// Wait for the rollout's pause, then start this wave.
    Pause(usize),
    /// Start no more nodes; none is running.
    Halt(Halt),
    /// All nodes are finished.
    End,
}

/// Why a rollout is halted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Halt {
    /// The document is stopped.
    Stopped(String),
    /// Too many nodes of a wave failed.
    Failures {
        /// The wave, from 0.
        wave: usize,
        /// Failed nodes of the wave.
        failed: usize,
        /// Nodes in the wave.
        of: usize,
    },
}

/// Decides. `paused` is the highest wave whose pause has already passed.
///
/// A wave starts when every node of the waves before it is finished, and none of those waves has too many failures. The
/// pause is skipped when this run upgraded no node of the waves before: there is nothing to observe.
pub fn next(rollout: &Rollout, members: &[Member], parallel: usize, paused: Option<usize>) -> Next {
    let running = members
        .iter()
        .filter(|member| member.turn == Turn::Running)
        .count();
    let pending = |member: &&Member| member.turn == Turn::Pending;
    let open = |member: &&Member| matches!(member.turn, Turn::Pending | Turn::Running);
    let Some(wave) = members.iter().filter(open).map(|member| member.wave).min() else {
        return Next::End;
    };
    let halt = || {
        if !members.iter().any(|member| pending(&member)) {
            // Nothing is left that could be held back.
            return None;
        }
        if rollout.stopped {
            return Some(Halt::Stopped(rollout.reason.clone()));
        }
        (0..=wave).find_map(|wave| too_many(rollout, members, wave))
    };
    if let Some(halt) = halt() {
        return if running > 0 { Next::Wait } else { Next::Halt(halt) };
    }
    let in_wave = |turn: Turn| {
        let found = |member: &Member| member.wave == wave && member.turn == turn;
        members.iter().position(found)
    };
    let Some(node) = in_wave(Turn::Pending).filter(|_| running < parallel.max(1)) else {
        return Next::Wait;
    };
    let begun = [Turn::Running, Turn::Upgraded, Turn::Failed]
        .into_iter()
        .any(|turn| in_wave(turn).is_some());
    let upgraded_before = members
        .iter()
        .any(|member| member.wave < wave && member.turn == Turn::Upgraded);
    let rested = rollout.pause_seconds == 0 || paused.is_some_and(|paused| paused >= wave);
    if !begun && upgraded_before && !rested {
        return Next::Pause(wave);
    }
    Next::Begin(node)
}

fn too_many(rollout: &Rollout, members: &[Member], wave: usize) -> Option<Halt> {
    let here = || members.iter().filter(|member| member.wave == wave);
    let of = here().count();
    let failed = here().filter(|member| member.turn == Turn::Failed).count();
    (failed * 100 > usize::from(rollout.max_failure_percent) * of).then_some(Halt::Failures {
        wave,
        failed,
        of,
    })
}
