//! Says what a build is doing, and how large the parts became.

use std::time::Instant;

use serde::Serialize;

/// Tells people on standard error what is being done, with the time since the start.
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

    /// Says what is being done now.
    pub fn step(&self, what: &str) {
        if !self.quiet {
            eprintln!("{:6.1}s  {what}", self.started.elapsed().as_secs_f64());
        }
    }

    /// Says something that people should not miss.
    pub fn warn(&self, what: &str) {
        eprintln!("warning: {what}");
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

/// Lays out sizes as a table for people.
pub fn size_table(parts: &[PartSize], bundle: u64) -> String {
    let mib = |bytes: u64| bytes as f64 / 1e6;
    let width = parts
        .iter()
        .map(|part| part.name.len())
        .max()
        .unwrap_or(0)
        .max("bundle".len());
    let mut text = format!("{:width$}  {:>9}  {:>9}\n", "part", "on disk", "in bundle");
    for part in parts {
        text.push_str(&format!(
            "{:width$}  {:6.1} MB  {:6.1} MB\n",
            part.name,
            mib(part.raw),
            mib(part.packed)
        ));
    }
    let raw = parts.iter().map(|part| part.raw).sum();
    text.push_str(&format!(
        "{:width$}  {:6.1} MB  {:6.1} MB\n",
        "bundle",
        mib(raw),
        mib(bundle)
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(lines[1], "kernel    30.0 MB    10.0 MB");
        assert_eq!(lines[3], "bundle    31.5 MB    10.6 MB");
        assert!(lines.iter().all(|line| line.len() == lines[0].len()));
    }
}
