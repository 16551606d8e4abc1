//! One idea per file.

use super::tree::without_tests;
use super::{Finding, Lint, Tree};

pub struct FileLength;

const LIMIT: usize = 400;

impl Lint for FileLength {
    fn name(&self) -> &'static str {
        "file-length"
    }

    fn reason(&self) -> &'static str {
        "a file of more than 400 lines before its tests holds more than one idea"
    }

    fn check(&self, tree: &Tree) -> Vec<Finding> {
        let lengths = tree
            .rust_under(&[""])
            .map(|(path, source)| (path, without_tests(source).lines().count()));
        let long = lengths.filter(|(_, length)| *length > LIMIT);
        long.map(|(path, length)| Finding::about(path, format!("{length} lines before its tests")))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_do_not_count() {
        let short = format!(
            "{}#[cfg(test)]\nmod tests {{\n{}}}\n",
            "x\n".repeat(400),
            "y\n".repeat(100)
        );
        let long = "x\n".repeat(401);
        let tree = Tree::of(&[("a.rs", &short), ("b.rs", &long)]);
        assert_eq!(
            FileLength.check(&tree),
            [Finding::about("b.rs", "401 lines before its tests")]
        );
    }
}
