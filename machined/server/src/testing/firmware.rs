//! The fake node's firmware: one file was changed, and another does not belong there.

use api::v1alpha1::{
    FirmwareDifference, FirmwareFile, FirmwareStatusResponse, FirmwareTrial, RepairFirmwareRequest,
    RepairFirmwareResponse,
};
use async_trait::async_trait;
use backend::{BackendError, Firmware};

use super::FakeNode;

#[async_trait]
impl Firmware for FakeNode {
    fn status(&self) -> Result<FirmwareStatusResponse, BackendError> {
        let file = |path: &str, difference: FirmwareDifference| FirmwareFile {
            path: path.into(),
            difference: difference.into(),
        };
        Ok(FirmwareStatusResponse {
            release: "0.2.0".into(),
            installed: "0.1.0".into(),
            files: 7,
            differences: vec![
                file("autoboot.txt", FirmwareDifference::Unknown),
                file("config.txt", FirmwareDifference::Changed),
            ],
            problems: vec!["config.txt is not that of the release".into()],
            trial: FirmwareTrial::NextStart.into(),
        })
    }

    async fn repair(&self, request: RepairFirmwareRequest) -> Result<RepairFirmwareResponse, BackendError> {
        self.note(format!(
            "repair firmware, dry run {}, remove unknown {}, without trial {}",
            request.dry_run, request.remove_unknown, request.without_trial
        ));
        let mut status = Firmware::status(self)?;
        let removed = match request.remove_unknown {
            true => vec!["autoboot.txt".to_owned()],
            false => Vec::new(),
        };
        if !request.dry_run {
            status
                .differences
                .retain(|file| file.path == "autoboot.txt" && !request.remove_unknown);
            status.problems.clear();
        }
        Ok(RepairFirmwareResponse {
            written: vec!["config.txt".to_owned()],
            removed,
            status: Some(status),
        })
    }
}
