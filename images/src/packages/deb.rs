//! Opens a Debian package.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::tree::Node;

/// Files of a package, by their path without leading slash.
pub type Files = BTreeMap<String, Node>;

/// A package could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot unpack {path}")]
pub struct DebError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Reads all files of a package into memory. Owners, times and special bits are left behind.
pub fn read(path: &Path) -> Result<Files, DebError> {
    let fault = |source| DebError {
        path: path.to_owned(),
        source,
    };
    let mut dpkg = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(fault)?;
    let pipe = dpkg.stdout.take().expect("standard output was asked for");
    let files = read_tar(pipe);
    let status = dpkg.wait().map_err(fault)?;
    if !status.success() {
        return Err(fault(io::Error::other(format!("dpkg-deb failed: {status}"))));
    }
    files.map_err(fault)
}

/// Reads all files of a tar archive.
pub fn read_tar(archive: impl Read) -> io::Result<Files> {
    let mut files = Files::new();
    for entry in tar::Archive::new(archive).entries()? {
        let mut entry = entry?;
        let path = plain(&entry.path()?.to_string_lossy());
        if path.is_empty() {
            continue;
        }
        let link = |entry: &tar::Entry<'_, _>| -> io::Result<String> {
            let name = entry
                .link_name()?
                .ok_or_else(|| io::Error::other(format!("{path} links to nothing")))?;
            Ok(name.to_string_lossy().into_owned())
        };
        let node = match entry.header().entry_type() {
            tar::EntryType::Directory => Node::Directory,
            tar::EntryType::Symlink => Node::Link(link(&entry)?),
            // A hard link becomes a file of its own: an image has none.
            tar::EntryType::Link => {
                let target = plain(&link(&entry)?);
                files
                    .get(&target)
                    .cloned()
                    .ok_or_else(|| io::Error::other(format!("{path}: no file {target}")))?
            }
            tar::EntryType::Regular => {
                let executable = entry.header().mode()? & 0o111 != 0;
                let mut data = Vec::with_capacity(entry.size() as usize);
                entry.read_to_end(&mut data)?;
                Node::File { data, executable }
            }
            // Device nodes and the like are made by the kernel on a node of ours.
            _ => continue,
        };
        files.insert(path, node);
    }
    Ok(files)
}

fn plain(path: &str) -> String {
    path.trim_start_matches("./").trim_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_read_without_its_special_bits() {
        let mut builder = tar::Builder::new(Vec::new());
        let mut add = |path: &str, kind, mode, link: Option<&str>, data: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_mode(mode);
            header.set_size(data.len() as u64);
            match link {
                Some(link) => builder.append_link(&mut header, path, link).unwrap(),
                None => builder.append_data(&mut header, path, data).unwrap(),
            }
        };
        add("./usr/", tar::EntryType::Directory, 0o755, None, b"");
        add("./usr/su", tar::EntryType::Regular, 0o4755, None, b"x");
        add("./usr/again", tar::EntryType::Link, 0o4755, Some("./usr/su"), b"");
        add("./usr/link", tar::EntryType::Symlink, 0o777, Some("su"), b"");
        add("./usr/text", tar::EntryType::Regular, 0o666, None, b"t");
        let files = read_tar(builder.into_inner().unwrap().as_slice()).unwrap();
        assert_eq!(files["usr"], Node::Directory);
        assert_eq!(files["usr/su"], Node::program("x"));
        assert_eq!(files["usr/again"], files["usr/su"]);
        assert_eq!(files["usr/link"], Node::Link("su".into()));
        assert_eq!(files["usr/text"].mode(), 0o644);
    }
}
