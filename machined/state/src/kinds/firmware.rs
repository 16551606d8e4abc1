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
    /// The trial of files that differ, on boards whose firmware can try some.
    pub trial: Option<FirmwareTrial>,
}

impl Resource for FirmwareStatus {
    const KIND: &'static str = "FirmwareStatus";
}

/// How far a trial of firmware files has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FirmwareTrial {
    /// The firmware tries them at the next start.
    NextStart,
    /// The node was started with them. They are committed when it is healthy.
    Running,
    /// They were tried, and the node is back at the files before.
    TakenBack,
    /// The firmware did not take the request.
    Unanswered,
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
        let trial = match self.trial {
            Some(FirmwareTrial::TakenBack) => Some(
                "new firmware files were tried and not committed, and the former ones are back: remove what machine.firmware asks for, or try them again with `bedplate firmware repair`",
            ),
            Some(FirmwareTrial::Unanswered) => Some(
                "the firmware of the board did not take the request to try new files: `bedplate firmware repair` asks again, and `--without-trial` writes them at once",
            ),
            Some(FirmwareTrial::NextStart | FirmwareTrial::Running) | None => None,
        };
        problems.extend(trial.map(str::to_owned));
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
        for (trial, problem) in [
            (FirmwareTrial::NextStart, None),
            (FirmwareTrial::Running, None),
            (FirmwareTrial::TakenBack, Some("the former ones are back")),
            (FirmwareTrial::Unanswered, Some("--without-trial")),
        ] {
            let status = FirmwareStatus {
                trial: Some(trial),
                ..FirmwareStatus::default()
            };
            let problems = status.problems().concat();
            match problem {
                Some(problem) => assert!(problems.contains(problem), "{problems}"),
                None => assert_eq!(problems, ""),
            }
        }
        status.differences = (0..9)
            .map(|at| file(&at.to_string(), FirmwareDifference::Missing))
            .collect();
        assert!(
            status.problems()[0]
                .starts_with("0, 1, 2, 3, 4, 5 and 3 more on the EFI system partition are missing")
        );
    }
}
