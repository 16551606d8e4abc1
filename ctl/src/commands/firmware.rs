//! `bedplate firmware`.

use std::process::ExitCode;

use api::v1alpha1::firmware_service_client::FirmwareServiceClient;
use api::v1alpha1::{
    FirmwareDifference, FirmwareStatusRequest, FirmwareStatusResponse, FirmwareTrial, RepairFirmwareRequest,
    RepairFirmwareResponse,
};
use clap::{Args, Subcommand};

use crate::confirm::confirm;
use crate::fan_out::call_and_show;
use crate::session::Session;
use crate::ui::{Show, Table};

/// Shows and repairs the files that the firmware reads.
#[derive(Debug, Subcommand)]
pub enum Firmware {
    /// Show how the files on the EFI system partition compare with the release that runs.
    ///
    /// A node compares them at each start: boot loader, and on boards that have it there the board's own firmware, U-Boot,
    /// device trees and config.txt.
    Status,
    /// Write the files of the release that runs where they differ.
    ///
    /// This also renews them after an upgrade. A power cut leaves each file old or new, and the boot loader is written last. What
    /// they change takes effect at the next start. On a Raspberry Pi 4 or 5, files with which the board has not been started yet
    /// are on trial then, except the boot loader; on other boards they are not.
    Repair(Repair),
}

/// What is repaired.
#[derive(Debug, Args)]
pub struct Repair {
    /// Only show what would be written and removed.
    #[arg(long)]
    dry_run: bool,
    /// Also remove files that no release put there.
    #[arg(long)]
    remove_unknown: bool,
    /// Write the files at once, without a trial.
    #[arg(long)]
    without_trial: bool,
    /// Do not ask for confirmation.
    #[arg(long)]
    yes: bool,
}

impl Firmware {
    /// Calls the nodes and prints the results.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        match self {
            Self::Status => {
                call_and_show(&session, |node| async {
                    FirmwareServiceClient::new(node.channel)
                        .status(FirmwareStatusRequest {})
                        .await
                })
                .await
            }
            Self::Repair(repair) => repair.run(session).await,
        }
    }
}

impl Repair {
    async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        if !self.dry_run {
            confirm(
                &format!("write boot loader and firmware of {}", session.names()),
                self.yes,
            )?;
        }
        let request = RepairFirmwareRequest {
            dry_run: self.dry_run,
            remove_unknown: self.remove_unknown,
            without_trial: self.without_trial,
        };
        call_and_show(&session, |node| async move {
            FirmwareServiceClient::new(node.channel).repair(request).await
        })
        .await
    }
}

/// Returns what a difference is called in tables.
fn word(difference: i32) -> &'static str {
    match FirmwareDifference::try_from(difference) {
        Ok(FirmwareDifference::Changed) => "changed",
        Ok(FirmwareDifference::OtherRelease) => "of another release",
        Ok(FirmwareDifference::Missing) => "missing",
        Ok(FirmwareDifference::Damaged) => "damaged",
        Ok(FirmwareDifference::Unknown) => "of no release",
        Ok(FirmwareDifference::Unspecified) | Err(_) => "unknown",
    }
}

/// Returns what is said of a trial that goes on; what went wrong is among the problems.
fn trial(status: &FirmwareStatusResponse) -> Option<&'static str> {
    match status.trial() {
        FirmwareTrial::NextStart => Some("new files are tried at the next start"),
        FirmwareTrial::Running => Some("new files are in use, and committed when the node is healthy"),
        FirmwareTrial::TakenBack => Some("new files were tried, and taken back"),
        FirmwareTrial::Unanswered => Some("the firmware did not take the request to try new files"),
        FirmwareTrial::Unspecified => None,
    }
}

impl Show for FirmwareStatusResponse {
    fn show(&self, table: &mut Table) {
        table.headings(&["RELEASE", "FILE", "IS"]);
        for file in &self.differences {
            table.row([
                self.release.clone(),
                file.path.clone(),
                word(file.difference).to_owned(),
            ]);
        }
        if self.differences.is_empty() && self.problems.is_empty() {
            let all = format!("all {} files", self.files);
            table.row([self.release.clone(), all, "as the release has them".to_owned()]);
        }
    }

    fn detail(&self) -> Option<String> {
        let mut text = format!("Release:    {}\n", self.release);
        if !self.installed.is_empty() {
            text += &format!("Installed:  {}\n", self.installed);
        }
        if let Some(trial) = trial(self) {
            text += &format!("Trial:      {trial}\n");
        }
        text += &match self.differences.len() {
            0 if self.problems.is_empty() => {
                format!("Files:      {}, all as the release has them\n", self.files)
            }
            0 => String::new(),
            _ => format!("Files:      {}\n\n", self.files),
        };
        for file in &self.differences {
            text += &format!("{}: {}\n", file.path, word(file.difference));
        }
        for problem in &self.problems {
            text += &format!("\n{problem}\n");
        }
        Some(text)
    }
}

impl Show for RepairFirmwareResponse {
    fn show(&self, table: &mut Table) {
        table.headings(&["FILE", "ACTION"]);
        let tried = self.status.as_ref().map(FirmwareStatusResponse::trial);
        let write = match tried {
            Some(FirmwareTrial::NextStart) => "try at the next start",
            _ => "write",
        };
        for (paths, action) in [(&self.written, write), (&self.removed, "remove")] {
            for path in paths {
                table.row([path.clone(), action.to_owned()]);
            }
        }
        if self.written.is_empty() && self.removed.is_empty() {
            table.row(["-".to_owned(), "nothing to do".to_owned()]);
        }
    }
}
