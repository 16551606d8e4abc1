//! How two machine configs differ, as people read it: a unified diff in which secrets are redacted.

use std::io::IsTerminal as _;

use machine_config::{MachineConfig, changes};
use serde::Serialize;
use similar::Algorithm;
use similar::udiff::unified_diff;

use crate::ui;

/// The number of lines around a difference.
const CONTEXT: usize = 3;

/// How two configs differ.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// The paths of what differs, secrets among them.
    pub changes: Vec<String>,
    /// The paths of secrets that differ, which the text does not show.
    pub secrets: Vec<String>,
    /// The unified diff; empty if nothing that may be shown differs.
    pub diff: String,
}

impl Difference {
    /// Compares two configs. Comments and the order of fields do not count.
    ///
    /// # Errors
    ///
    /// A config that cannot be read back, which would be a defect of this program.
    pub fn of(
        old_name: &str,
        old: &MachineConfig,
        new_name: &str,
        new: &MachineConfig,
    ) -> anyhow::Result<Self> {
        let (before, after) = (old.to_yaml(), new.to_yaml());
        let visible = changes(Some(&redacted(&before)?), &redacted(&after)?);
        let changes = changes(Some(old), new);
        let secrets = changes
            .iter()
            .filter(|path| !visible.contains(path))
            .cloned()
            .collect();
        let diff = match before == after {
            true => String::new(),
            false => unified_diff(
                Algorithm::Myers,
                &before,
                &after,
                CONTEXT,
                Some((old_name, new_name)),
            ),
        };
        Ok(Self {
            changes,
            secrets,
            diff,
        })
    }

    /// Returns true if the configs are the same.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Returns the text for people, coloured for a terminal unless `NO_COLOR` is set.
    pub fn text(&self) -> String {
        let colour = std::io::stdout().is_terminal()
            && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let mut text: String = self.diff.lines().map(|line| shown(line, colour)).collect();
        for secret in &self.secrets {
            text.push_str(&format!("secret {secret} differs\n"));
        }
        text
    }
}

/// Reads a config in which secrets are redacted, to compare what may be shown.
pub fn redacted(yaml: &str) -> anyhow::Result<MachineConfig> {
    Ok(yaml::from_str(yaml)?)
}

fn shown(line: &str, colour: bool) -> String {
    let clean = ui::clean(line);
    let code = match line.as_bytes().first() {
        Some(b'+') => "32",
        Some(b'-') => "31",
        Some(b'@') => "36",
        _ => "",
    };
    match colour && !code.is_empty() {
        true => format!("\u{1b}[{code}m{clean}\u{1b}[0m\n"),
        false => format!("{clean}\n"),
    }
}
