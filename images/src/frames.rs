//! Remembers packed frames and patches on disk, so that the next build only packs what is new.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bundle::Cache;
use manifest::Digest;

/// The most bytes that are kept: a few releases of a few boards.
const MOST: u64 = 1 << 30;

/// A folder of packed frames and patches.
#[derive(Clone)]
pub struct Frames {
    folder: PathBuf,
}

impl Frames {
    /// Uses a folder, and forgets what was longest not asked for when there is too much in it.
    pub fn open(folder: &Path) -> io::Result<Frames> {
        fs::create_dir_all(folder)?;
        prune(folder, MOST)?;
        Ok(Frames {
            folder: folder.to_owned(),
        })
    }

    fn path(&self, key: &Digest) -> PathBuf {
        self.folder.join(key.to_string())
    }
}

impl Cache for Frames {
    fn get(&self, key: &Digest) -> Option<Vec<u8>> {
        let path = self.path(key);
        let packed = fs::read(&path).ok()?;
        // Marks it as asked for. That this fails only makes it forgotten sooner.
        let _ = fs::File::open(&path).and_then(|file| file.set_modified(SystemTime::now()));
        Some(packed)
    }

    fn insert(&self, key: &Digest, packed: &[u8]) {
        // A full disk costs the next build time, not this one its success; a torn file is never taken for good.
        let _ = fs::write(self.path(key), packed);
    }
}

/// Removes the files that were longest not asked for until no more than `most` bytes are left.
fn prune(folder: &Path, most: u64) -> io::Result<()> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        files.push((meta.modified()?, meta.len(), entry.path()));
    }
    let mut left: u64 = files.iter().map(|(_, len, _)| len).sum();
    files.sort();
    for (_, len, path) in files {
        if left <= most {
            break;
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => left -= len,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_inserted_frame_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let frames = Frames::open(&dir.path().join("frames")).unwrap();
        assert_eq!(frames.get(&Digest([1; 32])), None);
        frames.insert(&Digest([1; 32]), b"packed");
        assert_eq!(
            frames.get(&Digest([1; 32])).as_deref(),
            Some(b"packed".as_slice())
        );
    }

    #[test]
    fn what_was_longest_not_asked_for_goes_first() {
        let dir = tempfile::tempdir().unwrap();
        for (age, name) in ["new", "old", "middle"].iter().enumerate() {
            let path = dir.path().join(name);
            fs::write(&path, [0; 100]).unwrap();
            let age = [1, 300, 200][age];
            let time = SystemTime::now() - Duration::from_secs(age);
            fs::File::options()
                .write(true)
                .open(&path)
                .unwrap()
                .set_modified(time)
                .unwrap();
        }
        prune(dir.path(), 250).unwrap();
        assert!(!dir.path().join("old").exists());
        assert!(dir.path().join("middle").exists() && dir.path().join("new").exists());
    }
}
