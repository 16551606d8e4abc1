//! What lints look at: the text files of the tree, and who depends on whom.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::paths;
use crate::process::Program;

/// What was built, fetched or made up by a fuzzer, not written.
const SKIPPED: &[&str] = &[".git", "target", "out", "fuzz/corpus"];

/// The tree, read into memory.
#[derive(Debug, Default)]
pub struct Tree {
    /// Every text file by its path from the root.
    pub files: BTreeMap<String, String>,
    /// The crates each crate depends on when it is built for use, by name.
    pub crates: BTreeMap<String, BTreeSet<String>>,
}

impl Tree {
    /// Reads the tree and asks cargo for the crate graph.
    pub fn read() -> Result<Tree> {
        let mut tree = Tree::default();
        tree.add_folder(paths::root(), "")?;
        let metadata = Program::new("cargo")
            .args(["metadata", "--format-version=1", "--locked"])
            .read()?;
        let metadata = serde_json::from_str(&metadata).context("cannot read what `cargo metadata` prints")?;
        tree.crates = crate_graph(&metadata);
        Ok(tree)
    }

    /// Makes a tree of the given files.
    #[cfg(test)]
    pub fn of(files: &[(&str, &str)]) -> Tree {
        let files = files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
            .collect();
        Tree {
            files,
            ..Tree::default()
        }
    }

    /// Lists the Rust sources under one of the given folders (all of them for `""`).
    pub fn rust_under<'a>(&'a self, folders: &'a [&str]) -> impl Iterator<Item = (&'a str, &'a str)> {
        let wanted = |path: &str| folders.iter().any(|folder| path.starts_with(folder));
        let files = self
            .files
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()));
        files.filter(move |(path, _)| path.ends_with(".rs") && wanted(path))
    }

    /// Lists the sources under the given folders that are not only there for tests.
    pub fn product_under<'a>(&'a self, folders: &'a [&str]) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.rust_under(folders).filter(|(path, _)| !self.is_test(path))
    }

    /// Returns whether a source is compiled for tests only: by cargo's rule, or because its module says so.
    fn is_test(&self, path: &str) -> bool {
        let parts: Vec<&str> = path.split('/').collect();
        let declared = |depth: usize| {
            let folder = parts[..depth].join("/");
            let name = parts[depth].trim_end_matches(".rs");
            let parents = ["/lib.rs", "/main.rs", "/mod.rs", ".rs"].map(|end| format!("{folder}{end}"));
            let mut parents = parents.iter().filter_map(|path| self.files.get(path));
            parents.any(|source| declares_for_tests(source, name))
        };
        path.contains("/tests/") || (1..parts.len()).any(declared)
    }

    /// Lists everything a crate depends on, directly or not; empty for an unknown crate.
    pub fn all_dependencies(&self, name: &str) -> BTreeSet<&str> {
        let mut seen = BTreeSet::new();
        let mut next = vec![name];
        while let Some(name) = next.pop() {
            for dependency in self.crates.get(name).into_iter().flatten() {
                if seen.insert(dependency.as_str()) {
                    next.push(dependency);
                }
            }
        }
        seen
    }

    fn add_folder(&mut self, folder: &Path, prefix: &str) -> Result<()> {
        let entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if prefix.is_empty() {
                name.clone()
            } else {
                format!("{prefix}/{name}")
            };
            // In a linked work tree of git, `.git` is a file.
            if SKIPPED.contains(&path.as_str()) {
                continue;
            }
            let kind = entry.file_type()?;
            if kind.is_dir() {
                self.add_folder(&entry.path(), &path)?;
            } else if kind.is_file() {
                // What is not UTF-8 is not text of ours.
                if let Ok(text) = fs::read_to_string(entry.path()) {
                    self.files.insert(path, text);
                }
            }
        }
        Ok(())
    }
}

/// Returns whether a source declares the module under a `cfg` that speaks of tests.
fn declares_for_tests(source: &str, module: &str) -> bool {
    let declaration = format!("mod {module};");
    let lines = source.lines().zip(source.lines().skip(1));
    let mut declarations = lines.filter(|(_, line)| {
        line.strip_suffix(&declaration)
            .is_some_and(|before| before.is_empty() || before.starts_with("pub"))
    });
    declarations.any(|(above, _)| above.starts_with("#[cfg(") && above.contains("test"))
}

/// Returns the part of a source before its tests, which is what most rules are about.
pub fn without_tests(source: &str) -> &str {
    let begins_tests = |at: &usize| {
        let module = source[*at..].lines().nth(1).unwrap_or_default();
        module.starts_with("mod ") && module.ends_with('{')
    };
    let start = source
        .match_indices("#[cfg(test)]\n")
        .map(|(at, _)| at)
        .find(begins_tests);
    &source[..start.unwrap_or(source.len())]
}

/// Lists the lines of code with their numbers: no comments, no tests.
pub fn code_lines(source: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = without_tests(source).lines().enumerate();
    lines
        .map(|(index, line)| (index + 1, line))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// Reads the graph of normal dependencies out of cargo's metadata; build and test dependencies are left out.
fn crate_graph(metadata: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let packages = list(&metadata["packages"]);
    let names: BTreeMap<String, String> = packages
        .iter()
        .map(|package| (text(&package["id"]), text(&package["name"])))
        .collect();
    let name = |id: &Value| {
        names
            .get(id.as_str().unwrap_or_default())
            .cloned()
            .unwrap_or_default()
    };
    let is_normal = |dependency: &Value| {
        list(&dependency["dep_kinds"])
            .iter()
            .any(|kind| kind["kind"].is_null())
    };

    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for node in list(&metadata["resolve"]["nodes"]) {
        let normal = list(&node["deps"]).into_iter().filter(is_normal);
        graph
            .entry(name(&node["id"]))
            .or_default()
            .extend(normal.map(|dependency| name(&dependency["pkg"])));
    }
    graph
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_normal_dependencies_are_in_the_graph() {
        let metadata = serde_json::json!({
            "packages": [{"id": "a#1", "name": "a"}, {"id": "b#1", "name": "b"}, {"id": "c#1", "name": "c"}],
            "resolve": {"nodes": [
                {"id": "a#1", "deps": [
                    {"pkg": "b#1", "dep_kinds": [{"kind": null}]},
                    {"pkg": "c#1", "dep_kinds": [{"kind": "dev"}, {"kind": "build"}]},
                ]},
                {"id": "b#1", "deps": [{"pkg": "c#1", "dep_kinds": [{"kind": null}]}]},
            ]},
        });
        let tree = Tree {
            crates: crate_graph(&metadata),
            ..Tree::default()
        };
        assert_eq!(tree.crates["a"], BTreeSet::from(["b".to_owned()]));
        assert_eq!(tree.all_dependencies("a"), BTreeSet::from(["b", "c"]));
    }

    #[test]
    fn a_module_declared_for_tests_is_no_product() {
        let parent =
            "#[cfg(test)]\nmod golden;\n#[cfg(any(test, feature = \"testing\"))]\npub mod kit;\nmod real;\n";
        let files = [
            "a/src/lib.rs",
            "a/src/golden.rs",
            "a/src/golden/x.rs",
            "a/src/kit.rs",
            "a/src/real.rs",
            "a/tests/t.rs",
        ];
        let files = files.map(|path| (path, if path.ends_with("lib.rs") { parent } else { "" }));
        let tree = Tree::of(&files);
        let product: Vec<_> = tree.product_under(&["a/"]).map(|(path, _)| path).collect();
        assert_eq!(product, ["a/src/lib.rs", "a/src/real.rs"]);
        assert_eq!(without_tests(parent), parent);
    }

    #[test]
    fn code_is_what_is_neither_comment_nor_test() {
        let source = "//! doc\nfn a() {}\n// note\nfn b() {}\n#[cfg(test)]\nmod tests {\n    fn c() {}\n}\n";
        assert_eq!(
            code_lines(source).collect::<Vec<_>>(),
            [(2, "fn a() {}"), (4, "fn b() {}")]
        );
    }
}
