//! How the upgrade of one node ends.

use api::v1alpha1::UpgradeRecord;

use crate::explain::Problem;

/// How it went well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It ran the release already.
    Already,
    /// It runs the release, and keeps it.
    Upgraded,
    /// It restarts into the release; not waited for.
    Restarts,
    /// The next restart starts the release.
    Armed,
    /// The maintenance window is waited for.
    Window,
}

/// How it did not.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// Why.
    pub text: String,
    /// What the node itself says of it.
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
