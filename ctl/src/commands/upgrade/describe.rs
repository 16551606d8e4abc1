//! Descriptions of stages and outcomes for people.

use api::v1alpha1::{UpgradeOutcome, UpgradeRecord, UpgradeStage, UpgradeStatus};

/// Describes what a node does in a stage.
pub fn stage(stage: UpgradeStage) -> &'static str {
    match stage {
        UpgradeStage::Unspecified | UpgradeStage::Idle => "idle",
        UpgradeStage::Opening => "opening the bundle",
        UpgradeStage::Surveying => "surveying its slots",
        UpgradeStage::Fetching => "fetching and writing",
        UpgradeStage::Verifying => "verifying",
        UpgradeStage::Armed => "armed for the next boot",
        UpgradeStage::Rebooting => "rebooting",
        UpgradeStage::Failed => "failed",
        UpgradeStage::Waiting => "written, and waiting",
    }
}

/// Describes why an upgrade ended before the reboot.
pub fn reason(status: &UpgradeStatus) -> String {
    match (status.reason.as_str(), status.stage()) {
        ("", UpgradeStage::Failed) => "it failed; see `bedplate upgrade history`".to_owned(),
        ("", _) => "it ended without an upgrade".to_owned(),
        (reason, _) => reason.to_owned(),
    }
}

/// Describes how an upgrade ended, and why.
pub fn ended(record: &UpgradeRecord) -> String {
    let how = match record.outcome() {
        UpgradeOutcome::Unspecified => "it has not ended",
        UpgradeOutcome::Committed => "it was kept",
        UpgradeOutcome::FellBack => "fell back to the old system",
        UpgradeOutcome::Failed => "failed before the reboot",
        UpgradeOutcome::Cancelled => "was cancelled",
        UpgradeOutcome::RolledBack => "was rolled back",
    };
    match record.cause.as_str() {
        "" => how.to_owned(),
        cause => format!("{how}: {cause}"),
    }
}
