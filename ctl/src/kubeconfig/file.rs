//! Where a person's kubeconfig is, and how it is written.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use zeroize::Zeroizing;

use crate::user_file;

/// The name of the file in a folder.
const NAME: &str = "kubeconfig";

/// Finds the file: as given, or the first in `KUBECONFIG`, or the one in the home folder. In a folder it has a name of its
/// own. A link is followed: many keep their files elsewhere.
///
/// # Errors
///
/// No path, and no home.
pub fn path(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    let path = match given {
        Some(path) => path.to_owned(),
        None => usual(
            std::env::var_os("KUBECONFIG").as_deref(),
            std::env::var_os("HOME").as_deref(),
        )
        .context("neither KUBECONFIG nor HOME is set: give the path of the file")?,
    };
    let path = if path.is_dir() { path.join(NAME) } else { path };
    match fs::canonicalize(&path) {
        Ok(real) => Ok(real),
        Err(_) => Ok(path),
    }
}

fn usual(kubeconfig: Option<&OsStr>, home: Option<&OsStr>) -> Option<PathBuf> {
    let listed =
        kubeconfig.and_then(|list| std::env::split_paths(list).find(|path| !path.as_os_str().is_empty()));
    let home = home.filter(|home| !home.is_empty());
    listed.or_else(|| Some(Path::new(home?).join(".kube/config")))
}

/// Changes the file while nobody else does. `change` gets its text, empty where there is none. It is written for its owner
/// only, whatever it was before.
///
/// # Errors
///
/// A file that is being changed, or cannot be read or written; the error of `change`.
pub fn change<T>(
    path: &Path,
    change: impl FnOnce(&str) -> anyhow::Result<(Zeroizing<String>, T)>,
) -> anyhow::Result<T> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    let _lock = Lock::take(path)?;
    let old = user_file::find(path)?.unwrap_or_default();
    let (text, value) = change(&old).with_context(|| format!("cannot change {}", path.display()))?;
    user_file::replace(path, &text, 0o600)?;
    Ok(value)
}

/// A file beside the kubeconfig that kubectl creates while it changes it, too.
struct Lock(PathBuf);

impl Lock {
    fn take(path: &Path) -> anyhow::Result<Self> {
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        let lock = PathBuf::from(name);
        match OpenOptions::new().write(true).create_new(true).open(&lock) {
            Ok(_) => Ok(Self(lock)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => bail!(
                "{} is being changed by another program; if none runs, remove {}",
                path.display(),
                lock.display()
            ),
            Err(error) => Err(error).with_context(|| format!("cannot create {}", lock.display())),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Whoever finds it is told to remove it.
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_where_kubectl_looks() {
        let usual = |kubeconfig: Option<&str>, home: Option<&str>| {
            super::usual(kubeconfig.map(OsStr::new), home.map(OsStr::new))
                .map(|path| path.display().to_string())
        };
        let home = Some("/folder/ann");
        assert_eq!(usual(None, home).as_deref(), Some("/folder/ann/.kube/config"));
        assert_eq!(usual(Some(""), home).as_deref(), Some("/folder/ann/.kube/config"));
        assert_eq!(usual(Some(":/a:/b"), home).as_deref(), Some("/a"));
        assert_eq!(usual(None, Some("")), None);
    }
}
