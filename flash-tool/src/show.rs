//! Formats plans, reports and disks, for people and for programs.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;

use layout::{Extent, Name};
use quantity::human_bytes;
use serde::Serialize;

use crate::config::ConfigSummary;
use crate::contents::Contents;
use crate::host::{Bus, Disk};
use crate::plan::{Plan, Release, What};
use crate::report::Report;
use crate::safety::{Caution, Refusal, caution, refusals};
use crate::target::Target;

/// A plan for programs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PlanView<'a> {
    release: &'a Release,
    target: &'a Target,
    /// What is on the target now, and will be lost; absent for a file, and where it cannot be read.
    loses: Option<&'a Contents>,
    /// The GUID of the new disk.
    disk: String,
    hybrid_mbr: bool,
    partitions: Vec<PartitionView>,
    /// Bytes by purpose.
    pieces: BTreeMap<String, u64>,
    /// Everything that is written, or found to be equal.
    bytes: u64,
    /// Everything that is discarded.
    discard: u64,
    config: Option<&'a ConfigSummary>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PartitionView {
    number: u32,
    name: &'static str,
    start: u64,
    bytes: u64,
}

/// What is printed at the end.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outcome<'a> {
    pub plan: PlanView<'a>,
    /// Absent when nothing was to be written.
    pub report: Option<&'a Report>,
}

/// A disk in the output of `list`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DiskView {
    #[serde(flatten)]
    disk: Disk,
    refused: Vec<String>,
    caution: Option<Caution>,
    /// Absent when it could not be read.
    contents: Option<Contents>,
    /// Why it could not be read.
    unreadable: Option<String>,
}

impl<'a> PlanView<'a> {
    pub fn new(plan: &'a Plan, target: &'a Target, loses: Option<&'a Contents>) -> Self {
        let mut pieces = BTreeMap::new();
        for piece in plan.pieces.iter().chain([&plan.trailer]) {
            *pieces.entry(word(piece.what)).or_default() += piece.extent.len;
        }
        let partition = |(name, extent): (Name, Extent)| PartitionView {
            number: name.number(),
            name: name.as_str(),
            start: extent.start,
            bytes: extent.len,
        };
        Self {
            release: &plan.release,
            target,
            loses,
            disk: plan.table.guids.disk.to_string(),
            hybrid_mbr: plan.table.hybrid,
            partitions: plan.table.layout.partitions().map(partition).collect(),
            pieces,
            bytes: plan.bytes(),
            discard: plan.discard.iter().map(|extent| extent.len).sum(),
            config: plan.config.as_ref().map(|config| config.summary()),
        }
    }

    /// Formats the plan for people.
    pub fn text(&self) -> String {
        let release = self.release;
        let mut text = String::new();
        let mut line = |title: &str, body: String| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{title:<8} {body}");
        };
        line("Bundle", release_text(release));
        line("Target", target_text(self.target));
        if let Some(contents) = self.loses.filter(|contents| !contents.is_empty()) {
            line("Loses", contents.to_string());
        }
        line("Config", self.config.map_or_else(no_config, config_text));
        let partitions = self
            .partitions
            .iter()
            .map(|part| format!("{} {}", part.name, human_bytes(part.bytes)));
        line("Disk", partitions.collect::<Vec<_>>().join(", "));
        let discard = if self.discard > 0 {
            format!("; {} will be discarded", human_bytes(self.discard))
        } else {
            String::new()
        };
        line(
            "Writes",
            format!(
                "at most {}, less what is there already{discard}",
                human_bytes(self.bytes)
            ),
        );
        text
    }
}

/// Formats a release for people: one line.
pub(crate) fn release_text(release: &Release) -> String {
    format!(
        "{} {} ({}), {}, signed by {}{}",
        release.board,
        release.version,
        release.arch,
        human_bytes(release.bundle_bytes),
        release.key,
        if release.locked {
            ""
        } else {
            ", not built from locked packages"
        },
    )
}

/// Formats a report for people: one line.
pub(crate) fn report_text(report: &Report, target: &Target) -> String {
    let limit = report
        .limited_by
        .map(|limit| format!(", limited by {}", limit.words()));
    format!(
        "{} now holds {} {}: {} written, {} there already, all read back and verified, in {:.1} s{}",
        target.path().display(),
        report.release.board,
        report.release.version,
        human_bytes(report.written),
        human_bytes(report.equal),
        report.seconds,
        limit.unwrap_or_default(),
    )
}

/// Checks a disk for `list`.
pub(crate) fn judge(disk: Disk, contents: io::Result<Contents>) -> DiskView {
    let (contents, unreadable) = match contents {
        Ok(contents) => (Some(contents), None),
        Err(error) => (None, Some(error.to_string())),
    };
    DiskView {
        refused: refusals(&disk, 0).iter().map(Refusal::to_string).collect(),
        caution: caution(&disk),
        contents,
        unreadable,
        disk,
    }
}

/// Formats the disks for people, as a table.
pub(crate) fn disks_text(disks: &[DiskView]) -> String {
    let mut rows = vec![
        [
            "DISK",
            "SIZE",
            "MODEL",
            "SERIAL",
            "BUS",
            "REMOVABLE",
            "CONTENTS",
            "VERDICT",
        ]
        .map(str::to_owned),
    ];
    for DiskView {
        disk,
        refused,
        caution,
        contents,
        unreadable,
    } in disks
    {
        let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
        let verdict = match (refused.first(), caution) {
            (Some(reason), _) => format!("no: {reason}"),
            (None, Some(caution)) => format!("with --allow-fixed={}: {}", caution.word, caution.why),
            (None, None) => "yes".to_owned(),
        };
        rows.push([
            disk.path.display().to_string(),
            human_bytes(disk.size),
            or_dash(&disk.model),
            or_dash(&disk.serial),
            match &disk.port {
                Some(port) => format!("{} {port}", bus_word(disk.bus)),
                None => bus_word(disk.bus).to_owned(),
            },
            if disk.removable { "yes" } else { "no" }.to_owned(),
            contents_text(contents.as_ref(), unreadable.as_deref()),
            verdict,
        ]);
    }
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths = [0, 1, 2, 3, 4, 5, 6].map(width);
    let mut text = String::new();
    for row in &rows {
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(text, "{cell:<width$}  ");
        }
        let _ = writeln!(text, "{}", row[7]);
    }
    text
}

fn contents_text(contents: Option<&Contents>, unreadable: Option<&str>) -> String {
    match (contents, unreadable) {
        (Some(contents), _) => contents.to_string(),
        (None, Some(why)) => format!("unknown: {why}"),
        (None, None) => "unknown".to_owned(),
    }
}

pub(crate) fn target_text(target: &Target) -> String {
    match target {
        Target::Disk(disk) => {
            let names = [
                disk.model.as_deref(),
                disk.serial.as_deref(),
                Some(bus_word(disk.bus)),
            ];
            let names = names.into_iter().flatten().collect::<Vec<_>>().join(", ");
            format!("{}: {}, {names}", disk.path.display(), human_bytes(disk.size))
        }
        Target::File(file) => {
            let kind = if file.is_new() { "a new file" } else { "a file" };
            let whose = if file.private {
                ", for its owner alone (mode 0600): the machine config holds keys"
            } else {
                ""
            };
            format!(
                "{}: {kind} of {}{whose}",
                file.path.display(),
                human_bytes(file.size)
            )
        }
    }
}

pub(crate) fn config_text(config: &ConfigSummary) -> String {
    let name = config.hostname.as_deref().unwrap_or("no name");
    let addresses = if config.addresses.is_empty() {
        "DHCP".to_owned()
    } else {
        config.addresses.join(", ")
    };
    format!("{}: {name}, {}, {addresses}", config.file, config.role)
}

fn no_config() -> String {
    "none: the node waits to receive one over its API".to_owned()
}

fn bus_word(bus: Bus) -> &'static str {
    match bus {
        Bus::Usb => "USB",
        Bus::Sd => "SD",
        Bus::Emmc => "eMMC",
        Bus::Nvme => "NVMe",
        Bus::Scsi => "SATA/SCSI",
        Bus::Virtio => "virtio",
        Bus::Loop => "loop",
        Bus::Stacked => "stacked",
        Bus::Other => "other",
    }
}

fn word(what: What) -> String {
    match serde_json::to_value(what) {
        Ok(serde_json::Value::String(word)) => word,
        _ => unreachable!("an enum without fields is a string"),
    }
}
