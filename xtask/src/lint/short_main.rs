//! `main.rs` parses, calls, exits.

use super::{Finding, Lint, Tree};

pub struct ShortMain;

const LIMIT: usize = 30;

impl Lint for ShortMain {
    fn name(&self) -> &'static str {
        "short-main"
    }

    fn reason(&self) -> &'static str {
        "no test can call what is in the main.rs of a library's program: main parses, calls, exits in 30 lines"
    }

    fn check(&self, tree: &Tree) -> Vec<Finding> {
        let mains = tree
            .rust_under(&[""])
            .filter_map(|(path, source)| Some((path.strip_suffix("/main.rs")?, source)));
        let beside_library = mains.filter(|(folder, _)| tree.files.contains_key(&format!("{folder}/lib.rs")));
        let lengths = beside_library.map(|(folder, source)| (folder, source.lines().count()));
        let long = lengths.filter(|(_, length)| *length > LIMIT);
        long.map(|(folder, length)| Finding::about(&format!("{folder}/main.rs"), format!("{length} lines")))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_main_beside_a_library_is_held_short() {
        let long = "x\n".repeat(31);
        let tree = Tree::of(&[
            ("a/src/main.rs", &long),
            ("a/src/lib.rs", ""),
            ("b/src/main.rs", &long),
        ]);
        assert_eq!(
            ShortMain.check(&tree),
            [Finding::about("a/src/main.rs", "31 lines")]
        );
    }
}
