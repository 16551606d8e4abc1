//! Decisions are numbered and can be found.

use std::collections::BTreeMap;

use super::{Finding, Lint, Tree};

pub struct Decisions;

const FOLDER: &str = "docs/decisions/";
const INDEX: &str = "docs/decisions/README.md";

impl Lint for Decisions {
    fn name(&self) -> &'static str {
        "decisions"
    }

    fn reason(&self) -> &'static str {
        "a decision nobody finds is made again: each has a number of its own and is listed in the index"
    }

    fn check(&self, tree: &Tree) -> Vec<Finding> {
        let Some(index) = tree.files.get(INDEX) else {
            return vec![Finding::about(INDEX, "is missing")];
        };
        let mut findings = Vec::new();
        let mut numbers: BTreeMap<&str, &str> = BTreeMap::new();
        for path in tree
            .files
            .keys()
            .filter(|path| path.starts_with(FOLDER) && path.as_str() != INDEX)
        {
            let name = &path[FOLDER.len()..];
            let number = name.split('-').next().unwrap_or_default();
            if number.len() != 4 || number.parse::<u16>().is_err() {
                findings.push(Finding::about(
                    path,
                    "does not begin with a number of four digits",
                ));
            } else if let Some(other) = numbers.insert(number, name) {
                findings.push(Finding::about(path, format!("has the number of {other}")));
            }
            if !index.contains(&format!("({name})")) {
                findings.push(Finding::about(path, format!("is not in {INDEX}")));
            }
        }
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_has_a_number_of_its_own_and_is_in_the_index() {
        let index = "[one](0001-a.md) [two](0001-b.md) [c](c.md)";
        let files = ["0001-a.md", "0001-b.md", "0002-d.md", "c.md"].map(|name| format!("{FOLDER}{name}"));
        let mut all: Vec<(&str, &str)> = files.iter().map(|path| (path.as_str(), "")).collect();
        all.push((INDEX, index));
        let what: Vec<String> = Decisions
            .check(&Tree::of(&all))
            .into_iter()
            .map(|finding| finding.what)
            .collect();
        let expected = [
            "has the number of 0001-a.md",
            "is not in docs/decisions/README.md",
            "does not begin with a number of four digits",
        ];
        assert_eq!(what, expected);
    }
}
