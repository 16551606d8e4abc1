//! Walks a folder by open handles: what is swapped for a link in the meantime is not followed, and what other file systems
//! have is left out.

use std::ffi::OsStr;
use std::fs::{File, Metadata, ReadDir};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use sys::filesystem::{DIRECTORY, NOFOLLOW, NONBLOCK};

/// The most levels of folders: each keeps two handles open.
const DEPTH: usize = 64;

/// A step of a walk.
pub(super) enum Step {
    /// A folder; its entries come next, then its [`Step::Leave`].
    Enter(Entry),
    /// The end of the folder that was entered last.
    Leave,
    /// What is not a folder.
    Other(Entry),
    /// What was left out, and why.
    Skipped(PathBuf, String),
}

/// Something that was found.
pub(super) struct Entry {
    /// Its path, from the name of the start on.
    pub(super) path: PathBuf,
    pub(super) metadata: Metadata,
    /// Leads to it by the handle of its folder.
    at: PathBuf,
}

/// A walk through a folder and everything below it, each folder before its entries.
pub(super) struct Walk {
    start: Option<File>,
    name: PathBuf,
    device: u64,
    open: Vec<Level>,
    keep: Box<dyn Fn(&Path) -> bool + Send>,
}

struct Level {
    handle: File,
    entries: ReadDir,
    path: PathBuf,
}

impl Walk {
    /// Starts at an open folder. Paths begin with this name. What `keep` refuses, by its path, is passed over.
    pub(super) fn new(
        start: File,
        name: PathBuf,
        keep: impl Fn(&Path) -> bool + Send + 'static,
    ) -> io::Result<Self> {
        Ok(Self {
            device: start.metadata()?.dev(),
            start: Some(start),
            name,
            open: Vec::new(),
            keep: Box::new(keep),
        })
    }

    /// Opens a folder that was found, and makes its entries the next ones.
    fn enter(&mut self, handle: File, path: PathBuf, at: PathBuf) -> io::Result<Step> {
        let metadata = handle.metadata()?;
        let level = Level {
            entries: by_handle(&handle).read_dir()?,
            handle,
            path: path.clone(),
        };
        self.open.push(level);
        Ok(Step::Enter(Entry { path, metadata, at }))
    }

    fn visit(&mut self, name: &OsStr, folder: PathBuf, at: PathBuf) -> Option<Step> {
        let path = folder.join(name);
        if !(self.keep)(&path) {
            return None;
        }
        let found = self.look(path.clone(), at);
        Some(found.unwrap_or_else(|error| Step::Skipped(path, error.to_string())))
    }

    fn look(&mut self, path: PathBuf, at: PathBuf) -> io::Result<Step> {
        let metadata = at.symlink_metadata()?;
        if !metadata.is_dir() {
            return Ok(Step::Other(Entry { path, metadata, at }));
        }
        let handle = open(&at, DIRECTORY)?;
        if handle.metadata()?.dev() != self.device {
            return Ok(Step::Skipped(path, "is on another file system".to_owned()));
        }
        if self.open.len() >= DEPTH {
            return Ok(Step::Skipped(path, format!("is more than {DEPTH} levels deep")));
        }
        self.enter(handle, path, at)
    }
}

impl Iterator for Walk {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        if let Some(start) = self.start.take() {
            let (name, at) = (self.name.clone(), by_handle(&start));
            let entered = self.enter(start, name.clone(), at);
            return Some(entered.unwrap_or_else(|error| Step::Skipped(name, error.to_string())));
        }
        loop {
            let level = self.open.last_mut()?;
            let Some(entry) = level.entries.next() else {
                self.open.pop();
                return Some(Step::Leave);
            };
            let (path, handle) = (level.path.clone(), by_handle(&level.handle));
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => return Some(Step::Skipped(path, error.to_string())),
            };
            let name = entry.file_name();
            if let Some(step) = self.visit(&name, path, handle.join(&name)) {
                return Some(step);
            }
        }
    }
}

impl Entry {
    /// Opens it, if it is a file still. Only until the walk goes on.
    pub(super) fn open(&self) -> io::Result<File> {
        let file = open(&self.at, NONBLOCK)?;
        match file.metadata()?.is_file() {
            true => Ok(file),
            false => Err(io::Error::other("is not a regular file any more")),
        }
    }

    /// Reads the target of a link. Only until the walk goes on.
    pub(super) fn link(&self) -> io::Result<PathBuf> {
        self.at.read_link()
    }
}

fn open(path: &Path, flags: i32) -> io::Result<File> {
    File::options()
        .read(true)
        .custom_flags(flags | NOFOLLOW)
        .open(path)
}

/// Returns the path by which the kernel leads to what is open.
fn by_handle(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn steps(walk: Walk) -> Vec<String> {
        let mut steps: Vec<String> = walk
            .map(|step| match step {
                Step::Enter(entry) => format!("enter {}", entry.path.display()),
                Step::Leave => "leave".to_owned(),
                Step::Other(entry) => format!("other {}", entry.path.display()),
                Step::Skipped(path, why) => format!("skipped {}: {why}", path.display()),
            })
            .collect();
        steps.sort();
        steps
    }

    #[test]
    fn links_are_shown_and_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["top/a/b", "away", "top/secret"] {
            std::fs::create_dir_all(path(name)).unwrap();
        }
        std::fs::write(path("away/x"), "x").unwrap();
        std::fs::write(path("top/a/b/f"), "f").unwrap();
        symlink(path("away"), path("top/link")).unwrap();
        let start = File::open(path("top")).unwrap();
        let walk = Walk::new(start, "top".into(), |path| !path.ends_with("secret")).unwrap();
        let expected = [
            "enter top",
            "enter top/a",
            "enter top/a/b",
            "leave",
            "leave",
            "leave",
        ];
        let expected = [&expected[..], &["other top/a/b/f", "other top/link"]].concat();
        assert_eq!(steps(walk), expected);
    }

    #[test]
    fn a_folder_that_becomes_a_link_does_not_lead_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(path("top/a")).unwrap();
        std::fs::create_dir_all(path("away/a")).unwrap();
        std::fs::write(path("away/a/x"), "x").unwrap();
        std::fs::write(path("top/a/own"), "own").unwrap();
        let mut walk = Walk::new(File::open(path("top")).unwrap(), "top".into(), |_| true).unwrap();
        assert!(matches!(walk.next(), Some(Step::Enter(_))));
        std::fs::rename(path("top"), path("old")).unwrap();
        symlink(path("away"), path("top")).unwrap();
        assert_eq!(steps(walk), ["enter top/a", "leave", "leave", "other top/a/own"]);
    }

    #[test]
    fn what_is_too_deep_is_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let deep: PathBuf = std::iter::repeat_n("d", DEPTH + 5).collect();
        std::fs::create_dir_all(folder.path().join(deep)).unwrap();
        let walk = Walk::new(File::open(folder.path()).unwrap(), "top".into(), |_| true).unwrap();
        let steps = steps(walk);
        assert_eq!(
            steps.iter().filter(|step| step.starts_with("enter")).count(),
            DEPTH
        );
        assert!(steps.iter().any(|step| step.contains("levels deep")), "{steps:?}");
    }
}
