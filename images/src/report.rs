//! Says what a build is doing, and how large the parts became.

use std::time::Instant;

use quantity::human_bytes;
use serde::Serialize;

/// Progress messages on standard error, with the time since the start.
pub struct Progress {
    started: Instant,
    quiet: bool,
}

impl Progress {
    /// Starts the clock; a quiet one says nothing.
    pub fn new(quiet: bool) -> Progress {
        Progress {
            started: Instant::now(),
            quiet,
        }
    }

    /// Reports the step that begins.
    pub fn step(&self, what: &str) {
        if !self.quiet {
            stdio::note(format_args!(
                "{:6.1}s  {what}",
                self.started.elapsed().as_secs_f64()
            ));
        }
    }

    /// Reports a warning.
    pub fn warn(&self, what: &str) {
        stdio::note(format_args!("warning: {what}"));
    }
}

/// Size of one part, as it lies on the medium and as it is in the bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PartSize {
    /// The part.
    pub name: String,
    /// Bytes on the medium.
    pub raw: u64,
    /// Bytes in the bundle.
    pub packed: u64,
}

/// The download of an upgrade from one older release, with patches and without.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PatchSize {
    /// Version of the older release.
    pub from: String,
    /// Bytes by patches: all that is read before the frames, the top of the hash tree, the patches, and the frames of
    /// what has no patch.
    pub patched: u64,
    /// Bytes without patches, when nothing on the node can be used again.
    pub full: u64,
}

/// Returns the savings by patches, a line for each older release.
pub fn patch_lines(patches: &[PatchSize]) -> String {
    let mut text = String::new();
    for size in patches {
        text.push_str(&format!(
            "patches from {}: {}, {:.1} % of a full upgrade\n",
            size.from,
            human_bytes(size.patched),
            100.0 * size.patched as f64 / size.full as f64
        ));
    }
    text
}

/// Lays out sizes as a table for people.
pub fn size_table(parts: &[PartSize], bundle: u64) -> String {
    let width = parts
        .iter()
        .map(|part| part.name.len())
        .max()
        .unwrap_or(0)
        .max("bundle".len());
    let mut text = format!("{:width$}  {:>9}  {:>9}\n", "part", "on disk", "in bundle");
    for part in parts {
        text.push_str(&format!(
            "{:width$}  {:>9}  {:>9}\n",
            part.name,
            human_bytes(part.raw),
            human_bytes(part.packed)
        ));
    }
    let raw = parts.iter().map(|part| part.raw).sum();
    text.push_str(&format!(
        "{:width$}  {:>9}  {:>9}\n",
        "bundle",
        human_bytes(raw),
        human_bytes(bundle)
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_have_a_line_each() {
        let size = |from: &str, patched| PatchSize {
            from: from.into(),
            patched,
            full: 45_000_000,
        };
        let lines = patch_lines(&[size("0.1.0", 4_123_456), size("0.0.9", 45_000_000)]);
        assert_eq!(
            lines,
            "patches from 0.1.0: 3.9 MiB, 9.2 % of a full upgrade\npatches from 0.0.9: 42.9 MiB, 100.0 % of a full upgrade\n"
        );
        assert_eq!(patch_lines(&[]), "");
    }

    #[test]
    fn a_table_lines_up_and_sums() {
        let part = |name: &str, raw, packed| PartSize {
            name: name.into(),
            raw,
            packed,
        };
        let table = size_table(
            &[
                part("kernel", 30_000_000, 10_000_000),
                part("root", 1_500_000, 500_000),
            ],
            10_600_000,
        );
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines[1], "kernel   28.6 MiB    9.5 MiB");
        assert_eq!(lines[3], "bundle     30 MiB   10.1 MiB");
        assert!(lines.iter().all(|line| line.len() == lines[0].len()));
    }
}
