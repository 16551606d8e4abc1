//! Sentences about upgrades.

use api::v1alpha1::{UpgradeOutcome, UpgradeRecord, UpgradeStage, UpgradeStatus};

/// Says what a node does in a stage.
pub fn stage(stage: UpgradeStage) -> &'static str {
    match stage {
        UpgradeStage::Unspecified | UpgradeStage::Idle => "idle",
        UpgradeStage::Opening => "opens the bundle",
        UpgradeStage::Surveying => "looks at what it has",
        UpgradeStage::Fetching => "fetches and writes",
        UpgradeStage::Verifying => "reads it back",
        UpgradeStage::Armed => "armed for the next start",
        UpgradeStage::Rebooting => "restarts",
        UpgradeStage::Failed => "failed",
        UpgradeStage::Waiting => "is written, and waits",
    }
}

/// Says why an upgrade ended before the restart.
pub fn reason(status: &UpgradeStatus) -> String {
    match (status.reason.as_str(), status.stage()) {
        ("", UpgradeStage::Failed) => "it failed; `bedplate upgrade history` may tell why".to_owned(),
        ("", _) => "it ended without an upgrade".to_owned(),
        (reason, _) => reason.to_owned(),
    }
}

/// Says how an upgrade ended, and why.
pub fn ended(record: &UpgradeRecord) -> String {
    let how = match record.outcome() {
        UpgradeOutcome::Unspecified => "it has not ended",
        UpgradeOutcome::Committed => "it was kept",
        UpgradeOutcome::FellBack => "fell back to the old system",
        UpgradeOutcome::Failed => "failed before the restart",
        UpgradeOutcome::Cancelled => "was cancelled",
        UpgradeOutcome::RolledBack => "was rolled back",
    };
    match record.cause.as_str() {
        "" => how.to_owned(),
        cause => format!("{how}: {cause}"),
    }
}
