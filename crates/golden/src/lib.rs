//! Generated files of the tree: references, schemas, and what programs write, for people to read.
//!
//! Each is kept current by a test of the crate that generates it. `UPDATE_EXPECT=1 cargo test -p CRATE` writes the file, and
//! its difference is read like code. For tests only.

use std::path::Path;

/// Compares a generated file with the one in the tree, or writes it where `UPDATE_EXPECT` is set.
///
/// `package` is the crate whose test this is, and `path` the file's path from the root of the tree.
///
/// # Panics
///
/// Where they differ, with the command that writes the file.
#[track_caller]
pub fn check(package: &str, path: &str, content: &str) {
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    if let Err(message) = compare(&root, package, path, content, update) {
        panic!("{message}");
    }
}

fn compare(root: &Path, package: &str, path: &str, content: &str, update: bool) -> Result<(), String> {
    let file = root.join(path);
    if update {
        let folder = file.parent().unwrap_or(root);
        let written = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&file, content));
        written.map_err(|error| format!("cannot write {path}: {error}"))?;
    }
    match std::fs::read_to_string(&file).is_ok_and(|found| found == content) {
        true => Ok(()),
        false => Err(format!(
            "{path} is not current; run `UPDATE_EXPECT=1 cargo test -p {package}` and read what changed"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_compared_until_it_is_to_be_written() {
        let root = tempfile::tempdir().unwrap();
        let compared = |content: &str, update| compare(root.path(), "a", "b/c.md", content, update);
        assert!(
            compared("x", false)
                .unwrap_err()
                .starts_with("b/c.md is not current; run `UPDATE_EXPECT=1 cargo test -p a`")
        );
        assert_eq!(compared("x", true), Ok(()));
        assert_eq!(compared("x", false), Ok(()));
        assert!(compared("y", false).is_err());
    }
}
