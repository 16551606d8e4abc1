//! Every crate is under the workspace's lints.

use super::{Finding, Lint, Tree};

pub struct WorkspaceLints;

impl Lint for WorkspaceLints {
    fn name(&self) -> &'static str {
        "workspace-lints"
    }

    fn reason(&self) -> &'static str {
        "a crate that forgets to inherit the lints and the licence of the workspace has neither"
    }

    fn check(&self, tree: &Tree) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (path, text) in tree
            .files
            .iter()
            .filter(|(path, _)| path.ends_with("/Cargo.toml"))
        {
            if !text.contains("[lints]\nworkspace = true") {
                findings.push(Finding::about(
                    path,
                    "does not inherit the lints of the workspace",
                ));
            }
            if !text.contains("license.workspace = true") {
                findings.push(Finding::about(
                    path,
                    "does not inherit the licence of the workspace",
                ));
            }
        }
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_that_inherits_neither_is_found_twice() {
        let good = "license.workspace = true\n[lints]\nworkspace = true\n";
        let tree = Tree::of(&[
            ("Cargo.toml", "[workspace]"),
            ("a/Cargo.toml", good),
            ("b/Cargo.toml", "[package]"),
        ]);
        let findings = WorkspaceLints.check(&tree);
        assert!(findings.len() == 2 && findings.iter().all(|finding| finding.path == "b/Cargo.toml"));
    }
}
