//! Progress of upgrades: bars on a terminal, a line per step elsewhere, JSON or YAML for programs.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{self, IsTerminal as _};
use std::time::Duration;

use api::v1alpha1::{UpgradePlan, UpgradeRecord, UpgradeStage, UpgradeStatus};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde::Serialize;

use super::describe;
use crate::ui::{self, Format, clean};

/// A display of the progress of nodes.
pub struct Report {
    format: Format,
    bars: Option<MultiProgress>,
    lines: RefCell<HashMap<String, Line>>,
}

/// The last line shown for a node.
#[derive(Default)]
struct Line {
    bar: Option<ProgressBar>,
    text: String,
}

/// An event as JSON or YAML.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Event<'a> {
    /// The node.
    pub node: &'a str,
    /// plan, progress, message or result.
    pub event: &'static str,
    /// With plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<&'a UpgradePlan>,
    /// With progress.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<&'a UpgradeStatus>,
    /// With message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<&'a str>,
    /// With result: upgraded, already, armed, window, restarts, failed or not-begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<&'static str>,
    /// With result: the version before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<&'a str>,
    /// With result: the new version, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<&'a str>,
    /// With result: how long it took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
    /// With result: why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'a str>,
    /// With result: the node's own record of a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<&'a UpgradeRecord>,
}

impl Report {
    /// Returns a display in this format, with bars only on a terminal.
    pub fn new(format: Format) -> Self {
        let bars = format == Format::Table && io::stderr().is_terminal();
        Self {
            format,
            bars: bars.then(MultiProgress::new),
            lines: RefCell::default(),
        }
    }

    /// Prints a message.
    pub fn note(&self, text: &str) {
        match &self.bars {
            Some(bars) => bars.suspend(|| ui::note(text)),
            None => ui::note(text),
        }
    }

    /// Shows a node's plan.
    pub fn plan(&self, node: &str, plan: &UpgradePlan) -> anyhow::Result<()> {
        if self.format != Format::Table {
            return self.event(&Event {
                node,
                event: "plan",
                plan: Some(plan),
                ..Event::default()
            });
        }
        self.note(&format!("{node}: {}", super::show::plan_line(plan)));
        for finding in &plan.findings {
            self.note(&format!("{node}: {}", super::show::finding_line(finding)));
        }
        Ok(())
    }

    /// Shows a node's progress.
    pub fn progress(&self, node: &str, status: &UpgradeStatus) -> anyhow::Result<()> {
        if self.format != Format::Table {
            return self.event(&Event {
                node,
                event: "progress",
                status: Some(status),
                ..Event::default()
            });
        }
        let waits = match status.message.as_str() {
            "" => String::new(),
            message => format!(" ({})", clean(message)),
        };
        let text = format!("{}{waits}", describe::stage(status.stage()));
        self.show(node, &text, measured(status));
        Ok(())
    }

    /// Shows what is waited for.
    pub fn waiting(&self, node: &str, text: &str) -> anyhow::Result<()> {
        let known = self
            .lines
            .borrow()
            .get(node)
            .is_some_and(|line| line.text == text);
        if self.format != Format::Table && !known {
            self.event(&Event {
                node,
                event: "message",
                message: Some(text),
                ..Event::default()
            })?;
        }
        self.show(node, text, None);
        Ok(())
    }

    /// Removes a node from the display.
    pub fn end(&self, node: &str) {
        if let Some(Line { bar: Some(bar), .. }) = self.lines.borrow_mut().remove(node) {
            bar.finish_and_clear();
        }
    }

    /// Writes an event, unless the output is for people.
    pub fn event(&self, event: &Event<'_>) -> anyhow::Result<()> {
        match self.format {
            Format::Table => Ok(()),
            format => ui::item(format, event),
        }
    }

    fn show(&self, node: &str, text: &str, measured: Option<(u64, u64)>) {
        let mut lines = self.lines.borrow_mut();
        let line = lines.entry(node.to_owned()).or_default();
        let news = line.text != text;
        text.clone_into(&mut line.text);
        let Some(bars) = &self.bars else {
            if news && self.format == Format::Table {
                ui::note(&format!("{node}: {text}"));
            }
            return;
        };
        let bar = line.bar.get_or_insert_with(|| {
            let bar = bars.add(ProgressBar::new(0));
            // The elapsed time is updated while nothing arrives.
            bar.enable_steady_tick(Duration::from_millis(200));
            bar.set_prefix(node.to_owned());
            bar
        });
        let template = match measured {
            Some(_) => "{prefix} {msg:<24} {wide_bar} {binary_bytes:>10} / {binary_total_bytes} {eta:>4}",
            None => "{prefix} {spinner} {msg} {elapsed:>4}",
        };
        if news {
            let style = ProgressStyle::with_template(template).expect("the templates are constants");
            bar.set_style(style);
            bar.set_message(text.to_owned());
            bar.reset();
        }
        if let Some((done, total)) = measured {
            bar.set_length(total);
            bar.set_position(done);
        }
    }
}

fn measured(status: &UpgradeStatus) -> Option<(u64, u64)> {
    let counts = matches!(
        status.stage(),
        UpgradeStage::Surveying | UpgradeStage::Fetching | UpgradeStage::Verifying
    );
    (counts && status.stage_total_bytes > 0).then_some((status.stage_bytes, status.stage_total_bytes))
}
