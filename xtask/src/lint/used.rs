//! Dependencies that somebody uses.

use std::collections::BTreeSet;

use super::{Finding, Lint, Tree};

pub struct Used;

/// Crates that use a dependency where its name is not in their folder.
const ELSEWHERE: &[(&str, &str, &str)] = &[
    ("crates/api", "tonic-prost", "what `build.rs` generates names it"),
    ("machined/trust", "prost", "what `build.rs` generates names it"),
    (
        "machined/trust",
        "tonic-prost",
        "what `build.rs` generates names it",
    ),
    (
        "machined/etcd-client",
        "prost",
        "what `build.rs` generates names it",
    ),
    (
        "machined/etcd-client",
        "tonic-prost",
        "what `build.rs` generates names it",
    ),
    (
        "bootloader/core",
        "minisign",
        "its tests share a file with those of `manifest`",
    ),
];

impl Lint for Used {
    fn name(&self) -> &'static str {
        "used-dependencies"
    }

    fn reason(&self) -> &'static str {
        "what nobody uses is built, audited and upgraded all the same"
    }

    fn check(&self, tree: &Tree) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut wanted = BTreeSet::new();
        for (path, manifest) in &tree.files {
            let Some(folder) = path.strip_suffix("/Cargo.toml") else {
                continue;
            };
            let prefix = format!("{folder}/");
            let folders = [prefix.as_str()];
            let sources: Vec<&str> = tree.rust_under(&folders).map(|(_, source)| source).collect();
            for (line, name) in dependencies(manifest) {
                wanted.insert(name);
                let word = name.replace('-', "_");
                let excused = ELSEWHERE
                    .iter()
                    .any(|(crate_folder, dependency, _)| (*crate_folder, *dependency) == (folder, name));
                if !excused && !sources.iter().any(|source| has_word(source, &word)) {
                    findings.push(Finding::at(
                        path,
                        line,
                        format!("nothing in {folder} uses {name}"),
                    ));
                }
            }
        }
        let root = tree.files.get("Cargo.toml").map_or("", String::as_str);
        let ours: BTreeSet<usize> = (1..)
            .zip(root.lines())
            .filter_map(|(number, line)| line.contains("path = ").then_some(number))
            .collect();
        for (line, name) in dependencies(root) {
            // A crate of ours may be written before it is used.
            if !wanted.contains(name) && !ours.contains(&line) {
                findings.push(Finding::at(
                    "Cargo.toml",
                    line,
                    format!("no crate asks for {name}"),
                ));
            }
        }
        findings
    }
}

/// Lists the dependencies of a manifest, of all kinds, with their lines.
fn dependencies(manifest: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut inside = false;
    manifest.lines().enumerate().filter_map(move |(index, line)| {
        if line.starts_with('[') {
            inside = line.trim_end().ends_with("dependencies]");
        }
        let end = line.find(['.', ' ', '='])?;
        let name = &line[..end];
        let is_name = inside && !name.is_empty() && !name.starts_with(['#', '[']);
        is_name.then_some((index + 1, name))
    })
}

fn has_word(source: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    source
        .match_indices(word)
        .any(|(at, _)| !source[..at].ends_with(is_part) && !source[at + word.len()..].starts_with(is_part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dependency_without_a_user_is_found() {
        let tree = Tree::of(&[
            (
                "Cargo.toml",
                "[workspace.dependencies]\n# hashes\nsha2 = \"1\"\nlost = \"2\"\nour = { path = \"our\" }\n\n[profile.dev]\ndebug = false\n",
            ),
            (
                "a/Cargo.toml",
                "[package]\nname = \"a\"\n[dependencies]\nsha2.workspace = true\nserde-json = { version = \"1\" }\n\
                 [dev-dependencies]\nother = \"1\"\n",
            ),
            ("a/src/lib.rs", "use serde_json::Value;\nfn no_sha2_here() {}\n"),
            ("a/tests/x.rs", "other::run();\n"),
            ("ab/src/lib.rs", "use sha2::Sha256;\n"),
        ]);
        let found: Vec<String> = Used.check(&tree).iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "a/Cargo.toml:4: nothing in a uses sha2",
                "Cargo.toml:4: no crate asks for lost"
            ]
        );
    }
}
