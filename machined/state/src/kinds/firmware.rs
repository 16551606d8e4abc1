//! What is on the EFI system partition.

use serde::{Deserialize, Serialize};

use crate::Resource;

/// The most files that a problem names.
const NAMED: usize = 6;

/// How the files on the EFI system partition (ESP) compare with the release that runs. Owned by `firmware`; one, named
/// `node`, on nodes with a disk of their own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FirmwareStatus {
    /// The version of the release that runs.
    pub release: String,
    /// The version of the release whose files were on the partition when it was last in order; empty if that is not known.
    pub installed: String,
    /// The number of files that the release puts there.
    pub files: u32,
    /// What differs, by path.
    pub differences: Vec<FirmwareFile>,
    /// Lines of the machine config that the firmware's configuration cannot take, and why.
    pub faults: Vec<String>,
    /// Why the partition was not compared.
    pub problem: Option<String>,
}

impl Resource for FirmwareStatus {
    const KIND: &'static str = "FirmwareStatus";
}

/// A file that differs from the release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FirmwareFile {
    /// Its path on the partition, without leading slash.
    pub path: String,
    /// How it differs.
    pub difference: FirmwareDifference,
}

/// How a file differs from the release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FirmwareDifference {
    /// It has other bytes, which no release of this node put there.
    Changed,
    /// It is from the release that was installed before: upgrades renew it only on request.
    OtherRelease,
    /// It is not there.
    Missing,
    /// It cannot be read.
    Damaged,
    /// No release put it there, and firmware may act on it.
    Unknown,
}

impl FirmwareStatus {
    /// Lists what a person should do something about. Files of another release are no problem: the node works with them.
    pub fn problems(&self) -> Vec<String> {
        let mut problems: Vec<String> = self
            .faults
            .iter()
            .map(|fault| format!("machine.firmware: {fault}"))
            .collect();
        problems.extend(self.problem.clone());
        let kinds = [
            (FirmwareDifference::Changed, "not that of the release", ""),
            (FirmwareDifference::Missing, "missing", ""),
            (FirmwareDifference::Damaged, "damaged", ""),
            (
                FirmwareDifference::Unknown,
                "not from any release",
                " --remove-unknown",
            ),
        ];
        for (kind, what, option) in kinds {
            let paths: Vec<&str> = self
                .differences
                .iter()
                .filter(|file| file.difference == kind)
                .map(|file| file.path.as_str())
                .collect();
            let verb = match paths.len() {
                0 => continue,
                1 => "is",
                _ => "are",
            };
            let more = match paths.len().saturating_sub(NAMED) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let named = paths[..paths.len().min(NAMED)].join(", ");
            problems.push(format!(
                "{named}{more} on the EFI system partition {verb} {what}: `bedplate firmware repair{option}` puts it right"
            ));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_problem_names_its_files_and_the_way_out() {
        let file = |path: &str, difference| FirmwareFile {
            path: path.into(),
            difference,
        };
        let mut status = FirmwareStatus {
            differences: vec![
                file("u-boot.bin", FirmwareDifference::Changed),
                file("start4.elf", FirmwareDifference::OtherRelease),
                file("recovery.bin", FirmwareDifference::Unknown),
            ],
            ..FirmwareStatus::default()
        };
        assert_eq!(
            status.problems(),
            [
                "u-boot.bin on the EFI system partition is not that of the release: `bedplate firmware repair` puts it right",
                "recovery.bin on the EFI system partition is not from any release: `bedplate firmware repair --remove-unknown` puts it right",
            ]
        );
        status.differences = (0..9)
            .map(|at| file(&at.to_string(), FirmwareDifference::Missing))
            .collect();
        assert!(
            status.problems()[0]
                .starts_with("0, 1, 2, 3, 4, 5 and 3 more on the EFI system partition are missing")
        );
    }
}
