//! Plans, states and histories as text and tables.

use std::fmt::Write as _;
use std::time::Duration;

use api::names::word;
use api::v1alpha1::{
    CancelUpgradeResponse, FetchKind, FindingLevel, RollbackResponse, TrialPhase, UpgradeFinding,
    UpgradeHistoryResponse, UpgradeMode, UpgradeOutcome, UpgradePlan, UpgradeRecord, UpgradeStage,
    UpgradeStatus,
};
use serde::Serialize;

use super::describe;
use crate::ui::{Show, Table, bytes, clean, duration, moment_ms};

/// Describes the cost of a plan in one line.
pub fn plan_line(plan: &UpgradePlan) -> String {
    format!(
        "{} to {}: fetches {} ({}), writes {}{}",
        plan.from_version,
        plan.to_version,
        bytes(plan.fetch_bytes),
        percent(plan),
        bytes(written(plan)),
        match plan.time_ms {
            0 => String::new(),
            time => format!(", in about {}", duration(Duration::from_millis(time))),
        }
    )
}

/// Describes an objection to an upgrade.
pub fn finding_line(finding: &UpgradeFinding) -> String {
    let text = clean(&finding.text);
    match finding.level() {
        FindingLevel::Refusal => format!("refused: {text} (use --force to override)"),
        FindingLevel::Final => format!("refused: {text}"),
        FindingLevel::Warning | FindingLevel::Unspecified => format!("warning: {text}"),
    }
}

/// Returns whether a node would refuse to carry out a plan.
pub fn is_refused(plan: &UpgradePlan, force: bool) -> bool {
    plan.findings.iter().any(|finding| match finding.level() {
        FindingLevel::Final => true,
        FindingLevel::Refusal => !force,
        FindingLevel::Warning | FindingLevel::Unspecified => false,
    })
}

fn percent(plan: &UpgradePlan) -> String {
    if plan.full_bytes == 0 {
        return "of an unknown total".to_owned();
    }
    let tenths = u128::from(plan.fetch_bytes) * 1000 / u128::from(plan.full_bytes);
    format!("{}.{} % of the bundle", tenths / 10, tenths % 10)
}

fn written(plan: &UpgradePlan) -> u64 {
    plan.write_blocks.saturating_mul(plan.block_size.into())
}

/// Adds a line with a key, unless the value is empty.
fn line(text: &mut String, key: &str, value: &str) {
    if !value.is_empty() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:<11}{}", format!("{key}:"), clean(value));
    }
}

impl Show for UpgradePlan {
    fn show(&self, table: &mut Table) {
        table.headings(&[
            "FROM", "TO", "SLOT", "FETCH", "SHARE", "WRITE", "IN PLACE", "TIME", "FINDINGS",
        ]);
        let findings: Vec<String> = self.findings.iter().map(finding_line).collect();
        table.row([
            self.from_version.clone(),
            self.to_version.clone(),
            self.slot.clone(),
            bytes(self.fetch_bytes),
            percent(self).replace(" of the bundle", ""),
            bytes(written(self)),
            bytes(self.equal_blocks.saturating_mul(self.block_size.into())),
            time(self.time_ms),
            findings.join("; "),
        ]);
    }

    fn detail(&self) -> Option<String> {
        let mut text = String::new();
        let size = |blocks: u64| bytes(blocks.saturating_mul(self.block_size.into()));
        line(
            &mut text,
            "Plan",
            &format!("{} to {} for {}", self.from_version, self.to_version, self.board),
        );
        line(&mut text, "Slot", &self.slot);
        line(
            &mut text,
            "Fetch",
            &format!("{}, {}", bytes(self.fetch_bytes), percent(self)),
        );
        for fetch in &self.fetches {
            let count = match fetch.count {
                0 => String::new(),
                count => format!(" ({count})"),
            };
            let kind = word::<FetchKind>(fetch.kind);
            let _ = writeln!(text, "  {kind:<9}{}{count}", bytes(fetch.bytes));
        }
        line(
            &mut text,
            "Write",
            &format!(
                "{} in {} blocks; {} are in place",
                size(self.write_blocks),
                self.write_blocks,
                size(self.equal_blocks)
            ),
        );
        if self.copied_blocks > 0 {
            let _ = writeln!(
                text,
                "  of these {} come from the running slot",
                size(self.copied_blocks)
            );
        }
        line(
            &mut text,
            "Time",
            &match self.time_ms {
                0 => String::new(),
                millis => format!("about {}", time(millis)),
            },
        );
        line(&mut text, "Patches", &self.patches_from);
        line(&mut text, "Why", &self.reason);
        if !self.parts.is_empty() {
            let mut table = Table::default();
            table.headings(&["PART", "SIZE", "FETCH", "WRITE", "IN PLACE"]);
            for part in &self.parts {
                table.row([
                    part.name.clone(),
                    bytes(part.size_bytes),
                    bytes(part.fetch_bytes),
                    size(part.write_blocks),
                    size(part.equal_blocks),
                ]);
            }
            let _ = write!(text, "\n{}", table.draw());
        }
        for finding in &self.findings {
            let _ = writeln!(text, "{}", finding_line(finding));
        }
        Some(text)
    }
}

fn time(millis: u64) -> String {
    match millis {
        0 => String::new(),
        millis => duration(Duration::from_millis(millis)),
    }
}

/// Describes the state of a trial; empty when the running system is not on trial.
fn trial(status: &UpgradeStatus) -> String {
    let Some(trial) = &status.trial else {
        return String::new();
    };
    let left = time(trial.left_ms);
    let failing = trial.health.iter().flat_map(|health| &health.checks);
    let failing: Vec<String> = failing
        .filter(|check| !check.healthy)
        .map(|check| format!("{}: {}", check.name, check.message))
        .collect();
    match trial.phase() {
        TrialPhase::None | TrialPhase::Unspecified => String::new(),
        TrialPhase::Waiting => format!("abandoned in {left} unless healthy: {}", failing.join("; ")),
        TrialPhase::Holding => format!("healthy; kept in {left}"),
        TrialPhase::Committed => "kept".to_owned(),
        TrialPhase::GivenUp => "abandoned; rebooting into the old system".to_owned(),
    }
}

fn done(status: &UpgradeStatus) -> String {
    match (status.stage_bytes, status.stage_total_bytes) {
        (_, 0) => String::new(),
        (done, total) => format!("{} of {}", bytes(done), bytes(total)),
    }
}

/// Describes the status of an upgrade in one line.
pub fn status_line(status: &UpgradeStatus) -> String {
    let versions = match (status.from_version.as_str(), status.to_version.as_str()) {
        ("", "") => String::new(),
        (from, "") => format!(" from {from}"),
        (from, to) => format!(" {from} to {to}"),
    };
    let extra = [
        done(status),
        if status.eta_ms > 0 {
            format!("{} left", time(status.eta_ms))
        } else {
            String::new()
        },
        status.message.clone(),
        status.reason.clone(),
        match trial(status) {
            trial if trial.is_empty() => trial,
            trial => format!("trial: {trial}"),
        },
    ];
    let extra: Vec<String> = extra.into_iter().filter(|text| !text.is_empty()).collect();
    let extra = match extra.as_slice() {
        [] => String::new(),
        extra => format!(": {}", extra.join(", ")),
    };
    clean(&format!("{}{versions}{extra}", describe::stage(status.stage())))
}

impl Show for UpgradeStatus {
    fn show(&self, table: &mut Table) {
        table.headings(&["STAGE", "FROM", "TO", "DONE", "LEFT", "TRIAL", "NOTE"]);
        let note = [self.message.as_str(), self.reason.as_str()];
        let note: Vec<&str> = note.into_iter().filter(|text| !text.is_empty()).collect();
        table.row([
            word::<UpgradeStage>(self.stage),
            self.from_version.clone(),
            self.to_version.clone(),
            done(self),
            time(self.eta_ms),
            trial(self),
            note.join("; "),
        ]);
    }

    fn detail(&self) -> Option<String> {
        let mut text = String::new();
        line(&mut text, "Upgrade", &self.id);
        line(&mut text, "Stage", describe::stage(self.stage()));
        line(&mut text, "From", &self.from_version);
        line(&mut text, "To", &self.to_version);
        line(&mut text, "Source", &self.source);
        line(&mut text, "Mode", &word::<UpgradeMode>(self.mode));
        if self.started_unix_ms > 0 {
            line(&mut text, "Started", &moment_ms(self.started_unix_ms));
        }
        let of = |done: u64, total: u64| match total {
            0 => String::new(),
            total => format!("{} of {}", bytes(done), bytes(total)),
        };
        line(&mut text, "Fetched", &of(self.fetched_bytes, self.fetch_bytes));
        line(&mut text, "Written", &of(self.written_bytes, self.write_bytes));
        if self.equal_bytes > 0 {
            line(&mut text, "In place", &bytes(self.equal_bytes));
        }
        line(&mut text, "Left", &time(self.eta_ms));
        line(&mut text, "Waiting", &self.message);
        line(&mut text, "Reason", &self.reason);
        line(&mut text, "Trial", &trial(self));
        if self.next_window_unix_ms > 0 {
            line(&mut text, "Window", &moment_ms(self.next_window_unix_ms));
        }
        line(&mut text, "Rollout", &self.rollout);
        Some(text)
    }
}

/// A history, with or without the kernel log of failed trials.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct History {
    response: UpgradeHistoryResponse,
    #[serde(skip)]
    log: bool,
}

impl History {
    /// Returns the history, with the kernel logs if `log` is set.
    pub fn new(mut response: UpgradeHistoryResponse, log: bool) -> Self {
        if !log {
            for record in &mut response.records {
                record.kernel_log.clear();
            }
        }
        Self { response, log }
    }
}

impl Show for History {
    fn show(&self, table: &mut Table) {
        table.headings(&["STARTED", "FROM", "TO", "OUTCOME", "TOOK", "CAUSE"]);
        for record in &self.response.records {
            table.row([
                moment_ms(record.started_unix_ms),
                record.from_version.clone(),
                record.to_version.clone(),
                word::<UpgradeOutcome>(record.outcome),
                took(record),
                record.cause.clone(),
            ]);
        }
    }

    fn detail(&self) -> Option<String> {
        if !self.log {
            return None;
        }
        let mut text = String::new();
        for record in &self.response.records {
            text.push_str(&full_text(record));
            text.push('\n');
        }
        Some(text)
    }
}

fn took(record: &UpgradeRecord) -> String {
    let span = record.ended_unix_ms.saturating_sub(record.started_unix_ms);
    match u64::try_from(span) {
        Ok(span) if record.ended_unix_ms > 0 => time(span),
        // The clock was set back in the meantime, or it has not ended.
        _ => String::new(),
    }
}

/// Describes a past upgrade in full, with the end of the kernel log.
pub fn full_text(record: &UpgradeRecord) -> String {
    let mut text = String::new();
    line(&mut text, "Upgrade", &record.id);
    line(&mut text, "From", &record.from_version);
    line(&mut text, "To", &record.to_version);
    line(&mut text, "Source", &record.source);
    line(&mut text, "Started", &moment_ms(record.started_unix_ms));
    line(&mut text, "Took", &took(record));
    line(&mut text, "Outcome", &word::<UpgradeOutcome>(record.outcome));
    line(&mut text, "Cause", &record.cause);
    line(&mut text, "Stage", describe::stage(record.stage()));
    line(&mut text, "Trial", &record.trial_stage);
    for check in record.health.iter().flat_map(|health| &health.checks) {
        let state = if check.healthy { "healthy" } else { "unhealthy" };
        line(
            &mut text,
            "Check",
            &format!("{} {state} {}", check.name, check.message),
        );
    }
    if !record.kernel_log.is_empty() {
        text.push_str("Last lines of the kernel log:\n");
    }
    for said in &record.kernel_log {
        let _ = writeln!(text, "  {}", clean(said));
    }
    text
}

impl Show for CancelUpgradeResponse {
    fn show(&self, table: &mut Table) {
        table.headings(&["CANCELLED"]).row([self.id.clone()]);
    }

    fn detail(&self) -> Option<String> {
        Some(format!("upgrade {} was cancelled\n", clean(&self.id)))
    }
}

impl Show for RollbackResponse {
    fn show(&self, table: &mut Table) {
        table.headings(&["REBOOTING INTO"]).row([self.to_version.clone()]);
    }

    fn detail(&self) -> Option<String> {
        Some(format!(
            "the node is rebooting into {}\n",
            clean(&self.to_version)
        ))
    }
}
