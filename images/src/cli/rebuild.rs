//! Builds an image a second time, in other surroundings, and compares.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Copies trees of boards and overlays, so that folders, times of files and the order in folders are others.
pub fn copy_trees(trees: &[PathBuf], to: &Path) -> Result<Vec<PathBuf>> {
    let mut copies = Vec::new();
    for (number, tree) in trees.iter().enumerate() {
        let copy = to.join(format!("tree-{number}"));
        for folder in ["boards", "overlays"] {
            if tree.join(folder).is_dir() {
                copy_folder(&tree.join(folder), &copy.join(folder))?;
            }
        }
        copies.push(copy);
    }
    Ok(copies)
}

/// Runs this program again with other surroundings; `arguments` are those of `build`, but for trees and results.
pub fn build_again(arguments: &[String], scratch: &Path) -> Result<()> {
    let own = std::env::current_exe().context("cannot find this program")?;
    let temporary = scratch.join("another-temporary-folder");
    fs::create_dir_all(&temporary)?;
    let mut command = Command::new(own);
    command
        .args(arguments)
        .env("TMPDIR", &temporary)
        .env("TZ", "Pacific/Kiritimati")
        .env("LC_ALL", "C");
    let done = command
        .stdout(std::process::Stdio::null())
        .status()
        .context("cannot start the second build")?;
    if !done.success() {
        bail!("the second build failed");
    }
    Ok(())
}

/// Compares what two builds wrote: every file of the first must be in the second, byte for byte.
pub fn compare(first: &Path, second: &Path, stem: &str) -> Result<Vec<String>> {
    let mut same = Vec::new();
    for entry in fs::read_dir(second)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if !name.starts_with(stem) {
            continue;
        }
        let other = first.join(&name);
        let [a, b] = [&path, &other].map(|path| {
            images::hash::of_file(path).with_context(|| format!("cannot read {}", path.display()))
        });
        if a? != b? {
            bail!(
                "not reproducible: {name} differs between two builds; compare {} and {}",
                other.display(),
                path.display()
            );
        }
        same.push(name);
    }
    if same.is_empty() {
        bail!("the second build wrote nothing to compare");
    }
    same.sort();
    Ok(same)
}

/// Copies from the last name to the first, so that even the order in which a folder was filled is another.
fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    let mut paths = fs::read_dir(from)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<PathBuf>>>()?;
    paths.sort();
    for path in paths.iter().rev() {
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy_folder(path, &target)?;
        } else {
            fs::write(&target, fs::read(path)?)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_found() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for dir in [&first, &second] {
            fs::write(dir.path().join("x.bundle"), "same").unwrap();
            fs::write(dir.path().join("other.bundle"), format!("{:?}", dir.path())).unwrap();
        }
        assert_eq!(compare(first.path(), second.path(), "x").unwrap(), ["x.bundle"]);
        assert!(compare(first.path(), second.path(), "absent").is_err());
        fs::write(second.path().join("x.bundle"), "other").unwrap();
        assert!(
            compare(first.path(), second.path(), "x")
                .unwrap_err()
                .to_string()
                .contains("not reproducible")
        );
    }
}
