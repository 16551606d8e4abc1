//! Writes which crates are linked into the programs of a node: `target/node/<arch>/crates.json`.
//!
//! It goes with the programs, because only their build knows: the image builder puts it into the image's bill of
//! materials. Cargo says which crates a program is made of on its target, without tests, build scripts and macros;
//! `Cargo.lock` has their hashes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::arch::Arch;
use crate::paths;
use crate::process::Program;
use crate::setup::Toolchain;

/// The file's name.
const FILE: &str = "crates.json";

/// Writes the file for one architecture.
pub fn write(toolchain: &Toolchain, arch: Arch) -> Result<()> {
    let lock = paths::root().join("Cargo.lock");
    let lock = fs::read_to_string(&lock).with_context(|| format!("cannot read {}", lock.display()))?;
    let hashes = hashes(&lock);
    let mut programs = BTreeMap::new();
    for (program, package, target) in [
        ("machined", "machined", arch.linux_target()),
        ("pause", "pause", arch.linux_target()),
        ("bootloader", "bootloader-efi", arch.uefi_target()),
    ] {
        let tree = Program::new(&toolchain.cargo)
            .args(["tree", "--locked", "--package", package, "--target", target])
            .args(["--edges=normal,no-proc-macro", "--prefix=none", "--no-dedupe"])
            .arg("--format={p}|{l}")
            .env("RUSTC", &toolchain.rustc)
            .read()?;
        programs.insert(program, crates(&tree, &hashes));
    }
    let path = paths::node_programs().join(arch.name()).join(FILE);
    let text = format!("{:#}\n", json!(programs));
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Reads the SHA-256 of every crate of others out of a lock file, by name and version.
fn hashes(lock: &str) -> BTreeMap<(&str, &str), &str> {
    let packages = lock.split("[[package]]").skip(1);
    let hashes = packages.filter_map(|package| {
        let field = |name: &str| {
            let mut lines = package.lines();
            lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(" = \"")?.strip_suffix('"'))
        };
        Some(((field("name")?, field("version")?), field("checksum")?))
    });
    hashes.collect()
}

/// Lists the crates of others that `cargo tree` names, each once.
fn crates(tree: &str, hashes: &BTreeMap<(&str, &str), &str>) -> Vec<Value> {
    let lines: BTreeSet<&str> = tree.lines().collect();
    let crates = lines.into_iter().filter_map(|line| {
        let (package, license) = line.split_once('|')?;
        let mut words = package.split(' ');
        let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
        // What has no hash is ours, and goes by the program's name.
        let sha256 = hashes.get(&(name, version))?;
        // The old way to write a choice.
        let license = license.split('/').map(str::trim).collect::<Vec<_>>().join(" OR ");
        Some(json!({"name": name, "version": version, "license": license, "sha256": sha256}))
    });
    crates.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"registry\"\n\
        checksum = \"aa\"\ndependencies = [\n \"b\",\n]\n\n[[package]]\nname = \"ours\"\nversion = \"0.1.0\"\n\n\
        [[package]]\nname = \"a\"\nversion = \"2.0.0+c\"\nsource = \"registry\"\nchecksum = \"bb\"\n";

    #[test]
    fn crates_of_others_are_listed_once_with_their_hashes() {
        let tree =
            "ours v0.1.0 (here)|MIT\na v2.0.0+c|MIT/Apache-2.0\na v1.0.0|MIT\na v2.0.0+c|MIT/Apache-2.0\n";
        let expected = [
            json!({"name": "a", "version": "1.0.0", "license": "MIT", "sha256": "aa"}),
            json!({"name": "a", "version": "2.0.0+c", "license": "MIT OR Apache-2.0", "sha256": "bb"}),
        ];
        assert_eq!(crates(tree, &hashes(LOCK)), expected);
    }

    #[test]
    fn the_lock_file_of_the_tree_is_understood() {
        let lock = fs::read_to_string(paths::root().join("Cargo.lock")).unwrap();
        let hashes = hashes(&lock);
        let sources = lock.matches("\nsource = ").count();
        assert_eq!(hashes.len(), sources);
        assert!(hashes.values().all(|hash| hash.len() == 64));
    }
}
