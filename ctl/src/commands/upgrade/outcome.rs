//! The outcome of one node's upgrade.

use api::v1alpha1::UpgradeRecord;

use crate::explain::Problem;

/// A successful outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The node already ran the release.
    Already,
    /// The node runs the release, and keeps it.
    Upgraded,
    /// The node is rebooting into the release; not waited for.
    Restarts,
    /// The next reboot starts the release.
    Armed,
    /// The node waits for its maintenance window.
    Window,
}

/// A failure.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// The reason.
    pub text: String,
    /// The node's own record of it.
    pub record: Option<Box<UpgradeRecord>>,
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::new(problem.to_string())
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(crate::ui::chain(error.as_ref()))
    }
}

impl Failure {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            record: None,
        }
    }
}
