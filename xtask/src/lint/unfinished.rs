//! Nothing half done is handed in.

use super::{Finding, Lint, Tree};

pub struct Unfinished;

/// Written apart, so that this file does not find itself.
const MARKS: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X:"),
    concat!("#[ig", "nore"),
    concat!("assert!(tr", "ue)"),
];

impl Lint for Unfinished {
    fn name(&self) -> &'static str {
        "unfinished"
    }

    fn reason(&self) -> &'static str {
        "what is left to do is an issue, not a comment, and a test that is skipped shows nothing"
    }

    fn check(&self, tree: &Tree) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (path, text) in tree
            .files
            .iter()
            .filter(|(path, _)| path.as_str() != "Cargo.lock")
        {
            for (index, line) in text.lines().enumerate() {
                for mark in MARKS.iter().filter(|mark| line.contains(*mark)) {
                    findings.push(Finding::at(path, index + 1, format!("{mark} is left")));
                }
            }
        }
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_found_in_any_text() {
        let mark = MARKS[0];
        let tree = Tree::of(&[("boards/a.yaml", &format!("a: b\n# {mark}: more\n"))]);
        assert_eq!(
            Unfinished.check(&tree),
            [Finding::at("boards/a.yaml", 2, format!("{mark} is left"))]
        );
    }
}
