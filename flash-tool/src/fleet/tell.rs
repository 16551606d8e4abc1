//! Says what happens: to people as text and bars, to programs as one JSON document a line.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use machine_config::value::HostName;
use serde::Serialize;
use stdio::Lost;

use super::document::Row;
use super::ledger::Filed;
use super::receipt::Receipt;
use crate::args::{Output, Progress};
use crate::bars::Shown;
use crate::config::ConfigSummary;
use crate::report::Report;
use crate::target::Target;
use crate::watch::Stage;

/// A line for programs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "event")]
pub(super) enum Event<'a> {
    /// A row is done already.
    Done {
        hostname: &'a HostName,
        receipt: &'a Receipt,
    },
    /// A row goes on a card.
    Assigned {
        hostname: &'a HostName,
        target: &'a Target,
        config: &'a ConfigSummary,
        labels: &'a BTreeMap<String, String>,
    },
    /// A row has no card.
    Waiting {
        hostname: &'a HostName,
        serial: Option<&'a str>,
        port: Option<&'a str>,
    },
    /// A card has no row, or cannot be flashed.
    Unused { target: String, reason: &'a str },
    /// A stage begins on a card.
    Stage {
        hostname: &'a HostName,
        target: String,
        stage: Stage,
    },
    /// A card is finished, and its receipt is on the disk.
    Flashed {
        hostname: &'a HostName,
        target: String,
        receipt: &'a Receipt,
        receipt_file: String,
        signed: bool,
        report: &'a Report,
    },
    /// A card failed.
    Failed {
        hostname: &'a HostName,
        target: String,
        error: &'a str,
    },
    /// The end.
    End(Sum),
}

/// The end of a run, in numbers.
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Sum {
    /// Cards that were flashed.
    pub flashed: usize,
    /// Cards that failed.
    pub failed: usize,
    /// Rows that are still to do.
    pub left: usize,
    /// Frames in the bundle, and how many were unpacked for all cards.
    pub frames: u64,
    pub unpacked: u64,
}

/// Says what happens.
pub(super) struct Teller {
    output: Output,
    multi: MultiProgress,
    bars: BTreeMap<usize, ProgressBar>,
    progress: Shown,
    lost: Option<Lost>,
}

impl Teller {
    pub fn new(output: Output, progress: Progress) -> Self {
        Self {
            output,
            multi: MultiProgress::new(),
            bars: BTreeMap::new(),
            progress: Shown::of(progress),
            lost: None,
        }
    }

    /// Says something to people.
    pub fn note(&self, text: impl std::fmt::Display) {
        self.multi.suspend(|| stdio::note(text));
    }

    /// Says something to programs. A flash goes on when nobody hears it, and that is reported at the end.
    pub fn event(&mut self, event: &Event<'_>) {
        if self.output == Output::Json {
            match serde_json::to_string(event) {
                Ok(line) => self.result(&line),
                Err(error) => self.note(format_args!("an event cannot be written as JSON: {error}")),
            }
        }
    }

    /// Prints a line of the result.
    fn result(&mut self, line: &str) {
        let printed = self.multi.suspend(|| stdio::line(line));
        if let Err(lost) = printed {
            self.lost.get_or_insert(lost);
        }
    }

    /// Shows the start of a stage on a card.
    pub fn stage(&mut self, card: usize, hostname: &HostName, target: &Path, stage: Stage, bytes: u64) {
        self.event(&Event::Stage {
            hostname,
            target: target.display().to_string(),
            stage,
        });
        match self.progress {
            Shown::Bars => {}
            Shown::Lines => return stdio::note(format_args!("{hostname}: {}", stage.title())),
            Shown::Nothing => return,
        }
        let multi = &self.multi;
        let bar = self.bars.entry(card).or_insert_with(|| {
            let bar = multi.add(ProgressBar::new(bytes));
            let template = "{prefix:<24} {msg:<32} {wide_bar} {binary_bytes_per_sec:>12} {eta:>4}";
            bar.set_style(ProgressStyle::with_template(template).expect("the template is a constant"));
            bar.set_prefix(format!("{hostname} {}", target.display()));
            // A flush can take seconds: the clock continues in the meantime.
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        bar.set_length(bytes);
        bar.reset();
        bar.set_message(stage.title());
    }

    /// Shows progress on a card.
    pub fn advance(&self, card: usize, bytes: u64) {
        if let Some(bar) = self.bars.get(&card) {
            bar.inc(bytes);
        }
    }

    /// Says that a card is finished.
    pub fn flashed(&mut self, card: usize, row: &Row, target: &Target, done: (&Receipt, &Filed, &Report)) {
        let (receipt, filed, report) = done;
        self.end_bar(card);
        self.event(&Event::Flashed {
            hostname: &row.hostname,
            target: target.path().display().to_string(),
            receipt,
            receipt_file: filed.path.display().to_string(),
            signed: filed.signed,
            report,
        });
        if self.output == Output::Text {
            let text = crate::show::report_text(report, target);
            self.result(&format!(
                "{}: {text}; receipt {}",
                row.hostname,
                filed.path.display()
            ));
        }
    }

    /// Says that a card failed.
    pub fn failed(&mut self, card: usize, hostname: &HostName, target: &Path, error: &str) {
        self.end_bar(card);
        self.event(&Event::Failed {
            hostname,
            target: target.display().to_string(),
            error,
        });
        self.note(format_args!("error: {hostname}: {}: {error}", target.display()));
    }

    /// Says that a card gets no row.
    pub fn unused(&mut self, target: &Path, reason: &str) {
        self.event(&Event::Unused {
            target: target.display().to_string(),
            reason,
        });
        self.note(format_args!("{}: {reason}", target.display()));
    }

    /// Says how it ended, and returns what could not be printed.
    pub fn end(mut self, sum: Sum) -> Option<Lost> {
        self.event(&Event::End(sum));
        if self.output == Output::Text {
            let Sum {
                flashed,
                failed,
                left,
                ..
            } = sum;
            self.result(&format!(
                "cards flashed: {flashed}, failed: {failed}; rows to do: {left}"
            ));
        }
        self.lost
    }

    fn end_bar(&mut self, card: usize) {
        if let Some(bar) = self.bars.remove(&card) {
            bar.finish_and_clear();
            self.multi.remove(&bar);
        }
    }
}
