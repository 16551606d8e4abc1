//! `cargo xtask lint`: the rules of this house that a machine can check, beyond what clippy knows.
//!
//! One file per lint. A lint is a pure function over the `Tree` (files and the crate graph, read once), so that its tests
//! are small trees in memory. A finding names a file and line; the lint's reason says why the rule is there.

mod board_names;
mod decisions;
mod dependencies;
mod doc_examples;
mod doc_links;
mod file_length;
mod no_io;
mod no_shell;
mod one_version;
mod places;
mod short_main;
mod tree;
mod unfinished;
mod unsafe_code;
mod used;
mod words;
mod workspace_lints;

use std::fmt;

use anyhow::{Result, bail};

use tree::Tree;

/// Checks the rules that clippy does not know.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Show every lint with its reason, and check nothing
    #[arg(long)]
    list: bool,
}

/// A rule, and how to see where it is broken.
trait Lint {
    /// Names the rule.
    fn name(&self) -> &'static str;
    /// Says what the rule protects.
    fn reason(&self) -> &'static str;
    /// Lists where the tree breaks it.
    fn check(&self, tree: &Tree) -> Vec<Finding>;
}

/// A place that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    path: String,
    /// Counted from 1; none when the finding is about the whole file.
    line: Option<usize>,
    what: String,
}

impl Finding {
    fn at(path: &str, line: usize, what: impl Into<String>) -> Finding {
        Finding {
            path: path.to_owned(),
            line: Some(line),
            what: what.into(),
        }
    }

    fn about(path: &str, what: impl Into<String>) -> Finding {
        Finding {
            path: path.to_owned(),
            line: None,
            what: what.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.what)
    }
}

const LINTS: &[&dyn Lint] = &[
    &board_names::BoardNames,
    &decisions::Decisions,
    &dependencies::Dependencies,
    &doc_examples::DocExamples,
    &doc_links::DocLinks,
    &file_length::FileLength,
    &no_io::NoIo,
    &no_shell::NoShell,
    &one_version::OneVersion,
    &places::Places,
    &short_main::ShortMain,
    &unfinished::Unfinished,
    &used::Used,
    &unsafe_code::UnsafeCode,
    &words::Words,
    &workspace_lints::WorkspaceLints,
];

impl Args {
    /// Runs every lint, shows the findings, and fails when there are any.
    pub fn run(self) -> Result<()> {
        if self.list {
            for lint in LINTS {
                stdio::line(format_args!("{:<16} {}", lint.name(), lint.reason()))?;
            }
            return Ok(());
        }
        let tree = Tree::read()?;
        let mut failed = 0;
        for lint in LINTS {
            let findings = lint.check(&tree);
            if findings.is_empty() {
                continue;
            }
            failed += 1;
            stdio::line(format_args!("{}: {}", lint.name(), lint.reason()))?;
            for finding in findings {
                stdio::line(format_args!("  {finding}"))?;
            }
        }
        stdio::line(format_args!("{} passed, {failed} failed", LINTS.len() - failed))?;
        if failed > 0 {
            bail!("{failed} of our own rules are broken");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lint_has_a_name_of_its_own_and_a_reason() {
        let mut names: Vec<_> = LINTS.iter().map(|lint| lint.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), LINTS.len());
        assert!(LINTS.iter().all(|lint| lint.reason().len() > 20));
    }

    #[test]
    fn a_finding_shows_file_and_line() {
        assert_eq!(Finding::at("a/b.rs", 3, "bad").to_string(), "a/b.rs:3: bad");
        assert_eq!(Finding::about("a/b.rs", "bad").to_string(), "a/b.rs: bad");
    }
}
