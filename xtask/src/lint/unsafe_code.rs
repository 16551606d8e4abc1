//! Where `unsafe` may stand, and what must stand beside it.

use super::tree::code_lines;
use super::{Finding, Lint, Tree};

pub struct UnsafeCode;

const ALLOWED: &[&str] = &["crates/sys/", "bootloader/efi/"];
/// How many lines above a block its `SAFETY:` may begin.
const REACH: usize = 8;

impl Lint for UnsafeCode {
    fn name(&self) -> &'static str {
        "unsafe-code"
    }

    fn reason(&self) -> &'static str {
        "unsafe code stays in two crates, in files that say why they need it, each block with the fact that makes it sound"
    }

    fn check(&self, tree: &Tree) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (path, source) in tree.rust_under(&[""]) {
            if path.starts_with("xtask/src/lint/") {
                continue; // speaks of unsafe code, and has none
            }
            let opt_in = code_lines(source).find(|(_, code)| code.contains("(unsafe_code)"));
            if let Some((line, _)) = opt_in {
                if !ALLOWED.iter().any(|folder| path.starts_with(folder)) {
                    findings.push(Finding::at(
                        path,
                        line,
                        format!("unsafe code outside {}", ALLOWED.join(" and ")),
                    ));
                }
                if !source
                    .lines()
                    .any(|line| line.trim_start().starts_with("// UNSAFETY: "))
                {
                    findings.push(Finding::at(
                        path,
                        line,
                        "no `// UNSAFETY:` line says why this file needs it",
                    ));
                }
            }
            findings.extend(blocks_without_reason(path, source));
        }
        findings
    }
}

fn blocks_without_reason(path: &str, source: &str) -> Vec<Finding> {
    let lines: Vec<&str> = source.lines().collect();
    let is_block = |code: &str| code.contains("unsafe {") || code.contains("unsafe impl");
    let explained = |line: usize| {
        let above = &lines[line.saturating_sub(REACH + 1)..line];
        above.iter().any(|line| line.contains("// SAFETY: "))
    };
    let blocks = code_lines(source).filter(|(_, code)| is_block(code));
    let bare = blocks.filter(|(line, _)| !explained(*line));
    bare.map(|(line, _)| {
        Finding::at(
            path,
            line,
            "no `// SAFETY:` comment names the fact that makes it sound",
        )
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "// UNSAFETY: ioctls.\n#![expect(unsafe_code)]\nfn f() {\n    // SAFETY: p is valid.\n    unsafe { g(p) }\n}\n";

    #[test]
    fn an_explained_block_in_the_right_place_is_fine() {
        assert_eq!(UnsafeCode.check(&Tree::of(&[("crates/sys/src/a.rs", GOOD)])), []);
    }

    #[test]
    fn elsewhere_it_is_found() {
        let findings = UnsafeCode.check(&Tree::of(&[("images/src/a.rs", GOOD)]));
        assert_eq!(
            findings,
            [Finding::at(
                "images/src/a.rs",
                2,
                "unsafe code outside crates/sys/ and bootloader/efi/"
            )]
        );
    }

    #[test]
    fn missing_reasons_are_found() {
        let source = "#![expect(unsafe_code)]\nfn f() {\n    unsafe { g(p) }\n}\n";
        let lines: Vec<_> = UnsafeCode
            .check(&Tree::of(&[("crates/sys/src/a.rs", source)]))
            .iter()
            .map(|f| f.line)
            .collect();
        assert_eq!(lines, [Some(1), Some(3)]);
    }
}
