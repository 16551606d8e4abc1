//! Things that scenarios share: made by the one that needs them first, while the others wait.
//!
//! Scenarios are processes, so what is made is known by a file that names it, and who makes it holds a lock on another.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// A folder of such things. It lasts for one run: the next one makes everything again, from what was built since.
#[derive(Debug)]
pub struct Shelf {
    folder: PathBuf,
}

impl Shelf {
    /// Uses a folder.
    pub fn new(folder: PathBuf) -> Shelf {
        Shelf { folder }
    }

    /// Forgets everything that was made.
    pub fn clear(&self) -> Result<()> {
        if self.folder.exists() {
            fs::remove_dir_all(&self.folder)
                .with_context(|| format!("cannot clear {}", self.folder.display()))?;
        }
        Ok(())
    }

    /// Returns the file that was made under a name. The first to ask makes it, in a folder of that name; when that fails,
    /// the next one tries again.
    pub fn take(&self, name: &str, make: impl FnOnce(&Path) -> Result<PathBuf>) -> Result<PathBuf> {
        let folder = self.folder.join(name);
        let _alone = lock(&folder)?;
        let made = folder.join("made");
        if let Ok(path) = fs::read_to_string(&made) {
            return Ok(PathBuf::from(path));
        }
        let path = make(&folder)?;
        fs::write(&made, path.display().to_string())?;
        Ok(path)
    }
}

/// Makes a folder, and waits until nobody else holds it. It is let go when what is returned is dropped.
pub fn lock(folder: &Path) -> Result<File> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let lock = File::create(folder.join("lock"))?;
    lock.lock()
        .with_context(|| format!("cannot lock {}", folder.display()))?;
    Ok(lock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_is_made_once_until_the_shelf_is_cleared() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(folder.path().join("shared"));
        let make = |folder: &Path| {
            let path = folder.join("thing");
            fs::write(&path, "")?;
            Ok(path)
        };
        shelf.take("a", |_| anyhow::bail!("not today")).unwrap_err();
        let first = shelf.take("a", make).unwrap();
        let second = shelf.take("a", |_| anyhow::bail!("it was made")).unwrap();
        assert_eq!(first, second);
        assert_ne!(first, shelf.take("b", make).unwrap());
        shelf.clear().unwrap();
        assert!(!first.exists());
        shelf.take("a", make).unwrap();
    }

    #[test]
    fn who_asks_meanwhile_waits() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(folder.path().to_owned());
        let made = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let make = |folder: &Path| {
                        made.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                        Ok(folder.join("thing"))
                    };
                    shelf.take("a", make).unwrap();
                });
            }
        });
        assert_eq!(made.into_inner(), 1);
    }
}
