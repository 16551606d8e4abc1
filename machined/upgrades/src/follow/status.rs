//! The rollout that the node follows, as a resource.

use rollout::{Done, Follow, Wait};
use state::kinds::RolloutState;

/// Shows a decision that starts nothing.
pub(super) fn shown(follow: &Follow) -> (RolloutState, String) {
    match follow {
        Follow::Begin => (
            RolloutState::Looking,
            "its wave is open, and the document is read once more".to_owned(),
        ),
        Follow::Wait { why, until } => {
            let state = match why {
                Wait::Stopped(_) | Wait::Ended(_) => RolloutState::Stopped,
                Wait::Underway => RolloutState::Underway,
                Wait::Client | Wait::Clock | Wait::Wave(_) | Wait::Trial | Wait::Retry => {
                    RolloutState::Waiting
                }
            };
            let until = until.filter(|_| *why == Wait::Retry);
            let until = until.map(|until| format!(" after {until}")).unwrap_or_default();
            (state, format!("{why}{until}"))
        }
        Follow::Done(done) => {
            let state = match done {
                Done::Over(_) => RolloutState::Over,
                Done::Runs | Done::Board(_) | Done::Newer(_) => RolloutState::Done,
            };
            (state, done.to_string())
        }
    }
}
