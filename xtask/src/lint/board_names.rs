//! Boards are data.

use super::tree::code_lines;
use super::{Finding, Lint, Tree};

pub struct BoardNames;

/// Product code. Tests and tasks name the boards they run.
const PRODUCT: &[&str] = &[
    "bootloader/",
    "crates/",
    "ctl/src/",
    "flash-tool/src/",
    "images/src/",
    "machined/",
];
/// Families named for an architecture, which is no fact about a board.
const ARCHITECTURES: &[&str] = &["amd64", "arm64"];
/// Words that only occur in facts about one kind of board.
const HARDWARE: &[&str] = &[
    "bcm27",
    "bcm28",
    "raspberry",
    "rockchip",
    "rk33",
    "rk35",
    "tegra",
    "jetson",
];

impl Lint for BoardNames {
    fn name(&self) -> &'static str {
        "board-names"
    }

    fn reason(&self) -> &'static str {
        "facts about a board live in boards/ and overlays/: adding a board needs no Rust"
    }

    fn check(&self, tree: &Tree) -> Vec<Finding> {
        let names = tree
            .files
            .keys()
            .filter_map(|path| path.strip_prefix("boards/")?.strip_suffix(".yaml"));
        let words: Vec<&str> = names
            .filter(|name| !name.contains('/') && !ARCHITECTURES.contains(name))
            .chain(HARDWARE.iter().copied())
            .collect();
        let mut findings = Vec::new();
        for (path, source) in tree.product_under(PRODUCT) {
            for (line, code) in code_lines(source) {
                // An end-of-line comment may give an example.
                let code = code.split(" // ").next().unwrap_or_default().to_lowercase();
                for word in words.iter().filter(|word| has_word(&code, word)) {
                    findings.push(Finding::at(path, line, format!("names {word}")));
                }
            }
        }
        findings
    }
}

/// Finds the word where no longer name swallows its beginning: `rpi3` is in `"rpi3-b"`, not in `terpi3`.
fn has_word(code: &str, word: &str) -> bool {
    let begins = |at: usize| !code[..at].ends_with(|c: char| c.is_ascii_alphanumeric());
    code.match_indices(word).any(|(at, _)| begins(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_board_in_product_code_is_found_and_in_tests_is_not() {
        let source =
            "fn f(board: &str) -> bool { board == \"pi9\" }\n#[cfg(test)]\nmod tests {\n    // pi9\n}\n";
        let tree = Tree::of(&[
            ("boards/pi9.yaml", ""),
            ("machined/a.rs", source),
            ("tests/src/a.rs", source),
        ]);
        assert_eq!(
            BoardNames.check(&tree),
            [Finding::at("machined/a.rs", 1, "names pi9")]
        );
    }

    #[test]
    fn a_chip_is_a_fact_about_a_board_too() {
        let tree = Tree::of(&[("images/src/a.rs", "const DTB: &str = \"BCM2837-rpi.dtb\";\n")]);
        assert_eq!(BoardNames.check(&tree).len(), 1);
    }

    #[test]
    fn a_word_inside_another_is_not_a_board() {
        assert!(has_word("\"rpi3-b\"", "rpi3"));
        assert!(!has_word("terpi3", "rpi3"));
    }
}
