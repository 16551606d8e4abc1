//! Why a poll gave no document that may be acted upon.

use std::time::Duration;

use quantity::human_time;

use super::seen_versions::RefusedVersion;

/// Why a poll gave no document that may be acted upon.
#[derive(Debug, thiserror::Error)]
pub(super) enum PollError {
    #[error(transparent)]
    Fetch(#[from] remote::Error),
    #[error("it took longer than {}", human_time(*.0))]
    TooLong(Duration),
    #[error("the node is stopping")]
    Stopping,
    #[error("{0}")]
    Panicked(String),
    #[error(transparent)]
    Task(#[from] tokio::task::JoinError),
    #[error(transparent)]
    System(#[from] crate::error::Error),
    #[error(transparent)]
    Verify(#[from] rollout::VerifyError),
    #[error(transparent)]
    Version(#[from] RefusedVersion),
}
