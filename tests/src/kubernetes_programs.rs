//! The programs of a Kubernetes release that clusters are tested with: none is ours to distribute.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::tools::Tool;

/// Names a folder or archive of programs; else they are looked for beside the repository.
const PROGRAMS: &str = "KUBERNETES_PROGRAMS";
/// The folder beside the repository.
const BESIDE: &str = "../../shared/kubernetes";
const KUBECTL: &str = "kubectl";
/// The architecture of the nodes, and of this machine, on which kubectl runs.
const ARCH: &str = "amd64";

/// Finds the folder or archive of programs; none where there is none.
pub fn find() -> Option<PathBuf> {
    if let Some(given) = std::env::var_os(PROGRAMS) {
        return Some(PathBuf::from(given)).filter(|path| path.exists());
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(BESIDE);
    let entries = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> = entries.filter(|path| is_archive(path)).collect();
    found.sort();
    found.pop()
}

fn is_archive(path: &Path) -> bool {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    name.starts_with("kubernetes-") && name.ends_with(&format!("-{ARCH}.tar.zst"))
}

/// Says why scenarios of clusters cannot run; none if they can.
pub fn missing() -> Option<String> {
    find().is_none().then(|| {
        format!("no programs of Kubernetes: name a folder or archive for {ARCH} in {PROGRAMS}, or put one into ../shared/kubernetes")
    })
}

/// Makes a folder of all programs inside another, to change or to run them.
pub fn unpack(into: &Path) -> Result<PathBuf> {
    unpacked(find().with_context(|| missing().unwrap_or_default())?, into)
}

/// Unpacks an archive; a folder is what it is.
fn unpacked(from: PathBuf, into: &Path) -> Result<PathBuf> {
    if from.is_dir() {
        return Ok(from);
    }
    let name = from
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or("kubernetes");
    let folder = into.join(name.trim_end_matches(".tar.zst"));
    if !folder.exists() {
        fs::create_dir_all(&folder)?;
        let unpack = Tool::new("tar").args(["--use-compress-program", "zstd --long=27", "-xf"]);
        unpack.arg(&from).arg("-C").arg(&folder).run()?;
    }
    Ok(folder)
}

/// Finds kubectl: among the programs of a folder or archive, else on this machine; none where there is none.
pub fn kubectl(given: &str, into: &Path) -> Result<Option<PathBuf>> {
    let given = Path::new(given);
    if given.exists() {
        let beside = unpacked(given.to_owned(), into)?.join(KUBECTL);
        if beside.is_file() {
            return Ok(Some(beside));
        }
    }
    let installed = Tool::new(KUBECTL).args(["version", "--client"]).end();
    let works = installed.is_ok_and(|ended| ended.success);
    Ok(works.then(|| PathBuf::from(KUBECTL)))
}

/// Asks the programs for their version.
pub fn version(folder: &Path) -> Result<String> {
    let printed = Tool::new(folder.join("kubelet")).arg("--version").run()?;
    let version = printed.trim().rsplit('v').next().unwrap_or_default();
    Ok(version.split(['+', '-']).next().unwrap_or_default().to_owned())
}
