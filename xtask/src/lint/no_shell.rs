//! No shell.

use super::tree::code_lines;
use super::{Finding, Lint, Tree};

pub struct NoShell;

const SHELLS: &[&str] = &["sh", "bash", "dash", "ash", "busybox", "zsh"];

impl Lint for NoShell {
    fn name(&self) -> &'static str {
        "no-shell"
    }

    fn reason(&self) -> &'static str {
        "a program is started with its arguments, never with a line for a shell to take apart: no quoting, no injection"
    }

    fn check(&self, tree: &Tree) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (path, source) in tree.rust_under(&[""]) {
            for (line, code) in code_lines(source) {
                if SHELLS.iter().any(|shell| starts_shell(code, shell)) {
                    findings.push(Finding::at(path, line, "starts a shell"));
                }
            }
        }
        findings
    }
}

fn starts_shell(code: &str, shell: &str) -> bool {
    ["", "/bin/", "/usr/bin/"]
        .iter()
        .any(|folder| code.contains(&format!("::new(\"{folder}{shell}\")")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_is_found_by_name_and_by_path() {
        for name in ["sh", "/bin/sh", "/usr/bin/bash"] {
            let tree = Tree::of(&[("a.rs", &format!("Command{}\"{name}\")", "::new("))]);
            assert_eq!(
                NoShell.check(&tree),
                [Finding::at("a.rs", 1, "starts a shell")],
                "{name}"
            );
        }
    }

    #[test]
    fn other_programs_are_fine() {
        let tree = Tree::of(&[("a.rs", "Command::new(\"shred\").arg(\"sh\")")]);
        assert_eq!(NoShell.check(&tree), []);
    }
}
