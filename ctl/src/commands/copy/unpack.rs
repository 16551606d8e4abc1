//! Unpacks a tar stream while it arrives. What a node sends can only become files and folders below the chosen folder.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use anyhow::Context as _;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// A folder into which a stream is being unpacked.
pub struct Unpacking {
    pieces: mpsc::Sender<Vec<u8>>,
    work: JoinHandle<anyhow::Result<Unpacked>>,
}

/// What was unpacked.
#[derive(Debug, Default)]
pub struct Unpacked {
    /// Files that were written.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Links that were not created.
    pub links: u64,
}

impl Unpacking {
    /// Starts to unpack into a folder, which is created if it is missing.
    pub fn start(folder: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let (pieces, received) = mpsc::channel(8);
        let folder = folder.to_owned();
        let stream = Stream {
            received,
            piece: io::Cursor::default(),
        };
        let work = tokio::task::spawn_blocking(move || unpack(stream, &folder));
        Ok(Self { pieces, work })
    }

    /// Adds the next piece of the stream; false if unpacking has ended, which [`Self::finish`] explains.
    pub async fn add(&mut self, piece: Vec<u8>) -> bool {
        self.pieces.send(piece).await.is_ok()
    }

    /// Waits until everything is unpacked.
    ///
    /// # Errors
    ///
    /// What could not be written, and a stream that is no tar file or that leads out of the folder.
    pub async fn finish(self) -> anyhow::Result<Unpacked> {
        drop(self.pieces);
        self.work.await.context("unpacking failed")?
    }
}

/// The pieces as something to read from.
struct Stream {
    received: mpsc::Receiver<Vec<u8>>,
    piece: io::Cursor<Vec<u8>>,
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.piece.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            match self.received.blocking_recv() {
                Some(piece) => self.piece = io::Cursor::new(piece),
                None => return Ok(0),
            }
        }
    }
}

fn unpack(stream: impl Read, folder: &Path) -> anyhow::Result<Unpacked> {
    let mut archive = tar::Archive::new(stream);
    let mut unpacked = Unpacked::default();
    for entry in archive.entries()? {
        let mut entry = entry.context("the node sent no tar file")?;
        let name = entry.path()?.into_owned();
        let path = place(folder, &name)?;
        let said = || format!("cannot write {}", path.display());
        match entry.header().entry_type() {
            tar::EntryType::Directory => create_folder(folder, &name).with_context(said)?,
            tar::EntryType::Regular => {
                if let Some(parent) = name.parent() {
                    create_folder(folder, parent).with_context(said)?;
                }
                // Never over what is there, so never through a link either.
                let mut file = File::create_new(&path).with_context(said)?;
                unpacked.bytes += io::copy(&mut entry, &mut file).with_context(said)?;
                unpacked.files += 1;
            }
            tar::EntryType::Symlink => unpacked.links += 1,
            other => anyhow::bail!("{} is of the kind {other:?}, which no node sends", name.display()),
        }
    }
    Ok(unpacked)
}

/// Returns where an entry goes.
fn place(folder: &Path, name: &Path) -> anyhow::Result<PathBuf> {
    let plain = name.components().all(|part| matches!(part, Component::Normal(_)));
    anyhow::ensure!(
        plain && name.components().next().is_some(),
        "the node sent the path {}, which leads out of {}",
        crate::ui::clean(&name.display().to_string()),
        folder.display()
    );
    Ok(folder.join(name))
}

/// Creates the folders of a path, none of which may be a link.
fn create_folder(folder: &Path, name: &Path) -> io::Result<()> {
    let mut path = folder.to_owned();
    for part in name.components() {
        path.push(part);
        match fs::create_dir(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Err(_) if !path.symlink_metadata()?.is_dir() => {
                return Err(io::Error::other(format!("{} is not a directory", path.display())));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(tar: &mut tar::Builder<Vec<u8>>, kind: tar::EntryType, name: &str, text: &str) {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        // As bytes: the crate itself refuses to write such paths.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        tar.append(&header, text.as_bytes()).expect("in memory");
    }

    fn unpacked(entries: &[(tar::EntryType, &str, &str)], folder: &Path) -> anyhow::Result<Unpacked> {
        let mut tar = tar::Builder::new(Vec::new());
        for (kind, name, text) in entries {
            entry(&mut tar, *kind, name, text);
        }
        unpack(tar.into_inner().expect("in memory").as_slice(), folder)
    }

    #[test]
    fn nothing_is_written_outside_of_the_folder_or_over_what_is_there() {
        let home = tempfile::tempdir().expect("a folder");
        let folder = home.path().join("to");
        fs::create_dir(&folder).expect("a folder");
        fs::create_dir(home.path().join("away")).expect("a folder");
        std::os::unix::fs::symlink(home.path().join("away"), folder.join("link")).expect("a link");
        fs::write(folder.join("there"), "old").expect("a file");
        use tar::EntryType::{Directory, Link, Regular, Symlink};
        for (kind, name) in [
            (Regular, "../x"),
            (Regular, "/x"),
            (Regular, "a/../../x"),
            (Regular, "link/x"),
            (Directory, "link/x"),
            (Directory, "link"),
            (Regular, "there"),
            (Link, "x"),
        ] {
            let error = unpacked(&[(kind, name, "")], &folder).expect_err(name);
            assert!(!error.to_string().is_empty());
        }
        let all = unpacked(
            &[
                (Directory, "log", ""),
                (Symlink, "log/link", ""),
                (Regular, "log/link/x", "x"),
                (Regular, "log/a", "abc"),
            ],
            &folder,
        );
        let all = all.expect("it is fine");
        assert_eq!((all.files, all.bytes, all.links), (2, 4, 1));
        assert_eq!(fs::read_to_string(folder.join("log/a")).expect("a file"), "abc");
        assert_eq!(fs::read_to_string(folder.join("there")).expect("a file"), "old");
        assert_eq!(
            fs::read_dir(home.path().join("away")).expect("a folder").count(),
            0
        );
        assert_eq!(fs::read_dir(home.path()).expect("a folder").count(), 2);
    }

    proptest! {
        #[test]
        fn garbage_does_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            let folder = tempfile::tempdir().expect("a folder");
            let _ = unpack(bytes.as_slice(), folder.path());
        }

        #[test]
        fn a_path_stays_inside(name in "[a./]{0,20}") {
            if let Ok(path) = place(Path::new("/to"), Path::new(&name)) {
                prop_assert!(path.starts_with("/to") && path != Path::new("/to"));
                prop_assert!(!path.components().any(|part| part == Component::ParentDir));
            }
        }
    }
}
