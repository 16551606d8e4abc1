//! Reads a tar archive into memory, bounded.

use std::collections::BTreeMap;
use std::io::Read;

use serde::de::DeserializeOwned;

use super::{Fault, SAVE};

/// The most files of an archive: machined's own bound.
const MOST_FILES: usize = 4096;
/// The most bytes of all its files, 2 GiB: more than any slot has.
const MOST_BYTES: u64 = 2 << 30;
/// The most bytes of a manifest, an index or a configuration: containerd's own bound.
const MOST_JSON: usize = 8 << 20;
/// The most links from one file to the next.
const MOST_LINKS: usize = 8;

/// The files of an archive.
#[derive(Debug, Default)]
pub(super) struct Files {
    files: BTreeMap<String, Vec<u8>>,
    /// Links by their paths, with the paths that they lead to.
    links: BTreeMap<String, String>,
}

/// Reads all files.
///
/// # Errors
/// Fails on what is not a tar archive, on more files or bytes than an image can have, and on one that is cut off.
pub(super) fn read(from: impl Read) -> Result<Files, Fault> {
    let mut all = Files::default();
    let mut left = MOST_BYTES;
    // Headers count as well: a file of nothing but headers ends, too.
    let mut archive = tar::Archive::new(from.take(MOST_BYTES + (64 << 20)));
    for entry in archive.entries()? {
        let entry = entry?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let path = plain(&path);
        let kind = entry.header().entry_type();
        if kind.is_symlink() || kind.is_hard_link() {
            let target = entry.link_name_bytes().unwrap_or_default();
            let target = String::from_utf8_lossy(&target).into_owned();
            let from = if kind.is_symlink() { folder(&path) } else { "" };
            if let Some(target) = joined(from, &target) {
                all.links.insert(path, target);
            }
        } else if kind.is_file() {
            let size = entry.size();
            if size > left {
                return Err(Fault::Image(format!(
                    "it has more than {}; a container image in the system image cannot",
                    quantity::human_bytes(MOST_BYTES)
                )));
            }
            left -= size;
            let mut data = Vec::new();
            entry.take(size).read_to_end(&mut data)?;
            if data.len() as u64 != size {
                return Err(Fault::Image(format!("it is cut off in {path}")));
            }
            if all.files.insert(path.clone(), data).is_some() {
                return Err(Fault::Image(format!("it has {path} twice")));
            }
        }
        if all.files.len() + all.links.len() > MOST_FILES {
            return Err(Fault::Image(format!(
                "it has more than {MOST_FILES} files: is it the content of a container, as `docker export` writes it? {SAVE}"
            )));
        }
    }
    Ok(all)
}

impl Files {
    /// Returns a file's content, through links.
    pub(super) fn get(&self, path: &str) -> Option<&[u8]> {
        let mut path = path;
        for _ in 0..MOST_LINKS {
            match self.links.get(path) {
                Some(target) => path = target,
                None => return self.files.get(path).map(Vec::as_slice),
            }
        }
        None
    }

    /// Returns a file that must be there.
    pub(super) fn needed(&self, path: &str) -> Result<&[u8], Fault> {
        self.get(path)
            .ok_or_else(|| Fault::Image(format!("it lacks {path}: was it saved to its end?")))
    }

    /// Reads a JSON file.
    pub(super) fn json<T: DeserializeOwned>(&self, path: &str) -> Result<T, Fault> {
        json(path, self.needed(path)?)
    }
}

/// Reads the JSON of a file.
pub(super) fn json<T: DeserializeOwned>(file: &str, data: &[u8]) -> Result<T, Fault> {
    if data.len() > MOST_JSON {
        return Err(Fault::Image(format!(
            "{file} in it has more than {}",
            quantity::human_bytes(MOST_JSON as u64)
        )));
    }
    serde_json::from_slice(data).map_err(|source| Fault::Parse {
        file: file.to_owned(),
        source,
    })
}

fn plain(path: &str) -> String {
    path.trim_start_matches("./").trim_matches('/').to_owned()
}

fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// Follows a link's target from a folder; none where it leaves the archive.
fn joined(folder: &str, target: &str) -> Option<String> {
    if target.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => (),
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}
