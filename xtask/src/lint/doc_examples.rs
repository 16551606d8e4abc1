//! Code in doc comments is not run, so it must not look as if it were.

use super::{Finding, Lint, Tree};

pub struct DocExamples;

const FENCE: &str = "```";

impl Lint for DocExamples {
    fn name(&self) -> &'static str {
        "doc-examples"
    }

    fn reason(&self) -> &'static str {
        "`cargo xtask test` runs no examples in doc comments: write a unit test, or mark the block as text"
    }

    fn check(&self, tree: &Tree) -> Vec<Finding> {
        let sources = tree.files.iter().filter(|(path, _)| path.ends_with(".rs"));
        sources.flat_map(|(path, text)| examples(path, text)).collect()
    }
}

/// Finds blocks that rustdoc takes for Rust: those that begin without a language, or with it.
fn examples(path: &str, text: &str) -> Vec<Finding> {
    let mut inside = false;
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let Some(language) = doc(line).and_then(|doc| doc.strip_prefix(FENCE)) else {
            continue;
        };
        inside = !inside;
        if inside && is_run(language.trim()) {
            findings.push(Finding::at(path, index + 1, "this example is never compiled"));
        }
    }
    findings
}

fn doc(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let text = line.strip_prefix("///").or_else(|| line.strip_prefix("//!"))?;
    Some(text.trim_start())
}

fn is_run(language: &str) -> bool {
    let words = ["rust", "no_run", "should_panic", "compile_fail"];
    language.is_empty()
        || words
            .iter()
            .any(|word| language.split(',').any(|part| part.trim() == *word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_rust_are_found_and_others_are_not() {
        let text = "/// ```\n/// let x = 1;\n/// ```\n//! ```text\n//! a\n//! ```\n/// ```rust,no_run\n/// x()\n/// ```\n";
        let tree = Tree::of(&[("crates/a/src/lib.rs", text), ("docs/a.md", "```\nx\n```\n")]);
        let lines: Vec<_> = DocExamples
            .check(&tree)
            .into_iter()
            .map(|finding| finding.line)
            .collect();
        assert_eq!(lines, [Some(1), Some(7)]);
    }
}
