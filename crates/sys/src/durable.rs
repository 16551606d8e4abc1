//! Durable files: complete after a power cut.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Writes a file so that after a power cut it is the complete old one or the complete new one. `mode` is its permissions,
/// such as `0o600`.
///
/// The new content is first written to a file next to it, with `.PID.new` appended to its name: processes do not interfere
/// with each other, threads of one process must take turns, and what a power cut leaves of PID 1 is replaced by its next
/// write. A symbolic link is replaced, not followed. Once this returns, the new file is on the medium.
///
/// # Errors
///
/// Returns the file system's error. The old file is still there then, or the new one if only the last flush failed.
pub fn write(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut name = OsString::from(path);
    name.push(format!(".{}.new", std::process::id()));
    let fresh = PathBuf::from(name);
    let mut file = None;
    for step in STEPS {
        match step {
            Step::Clear => match fs::remove_file(&fresh) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            },
            Step::Fill => file = Some(fill(&fresh, content, mode)?),
            Step::FlushFile => file.iter().try_for_each(File::sync_all)?,
            Step::Rename => fs::rename(&fresh, path)?,
            Step::FlushFolder => flush_folder(path)?,
        }
    }
    Ok(())
}

/// Creates a file that must not exist yet, and waits until it is on the medium. A power cut may leave a part of it.
///
/// # Errors
///
/// Returns the file system's error; [`io::ErrorKind::AlreadyExists`] if there is such a file, or a link of that name.
pub fn create(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    fill(path, content, mode)?.sync_all()?;
    flush_folder(path)
}

/// A step of [`write`]. A power cut may come before, between and after any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Removes what an earlier power cut left: it may have other permissions, so it is not reused.
    Clear,
    /// Creates the new file next to the old one.
    Fill,
    /// Waits until its content is on the medium.
    FlushFile,
    /// Replaces the old one with it.
    Rename,
    /// Waits until the directory entry is on the medium.
    FlushFolder,
}

const STEPS: [Step; 5] = [
    Step::Clear,
    Step::Fill,
    Step::FlushFile,
    Step::Rename,
    Step::FlushFolder,
];

fn fill(path: &Path, content: &[u8], mode: u32) -> io::Result<File> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    file.write_all(content)?;
    Ok(file)
}

fn flush_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    /// A directory on a medium, with pending writes to it.
    #[derive(Default)]
    struct Medium {
        /// How much of the new file's content is certain.
        flushed: bool,
        /// What happened to the folder since its last flush; a prefix of it is on the medium.
        waiting: Vec<Step>,
        /// What is certain about the folder.
        certain: Vec<Step>,
    }

    impl Medium {
        fn take(&mut self, step: Step) {
            match step {
                Step::FlushFile => self.flushed = true,
                Step::FlushFolder => self.certain.append(&mut self.waiting),
                step => self.waiting.push(step),
            }
        }

        /// Returns all that the file may be when the power comes back.
        fn after_a_cut(&self) -> BTreeSet<&'static str> {
            let found = |kept: usize| {
                let done = self.certain.iter().chain(&self.waiting[..kept]);
                let renamed = done.clone().any(|step| *step == Step::Rename);
                match (renamed, self.flushed) {
                    (false, _) => "old",
                    (true, true) => "new",
                    // File systems write names before contents, when nobody waits.
                    (true, false) => "torn",
                }
            };
            (0..=self.waiting.len()).map(found).collect()
        }
    }

    /// Returns what is found after cuts before and between all of these steps, and after the last.
    fn cuts(steps: &[Step]) -> (BTreeSet<&'static str>, BTreeSet<&'static str>) {
        let mut medium = Medium::default();
        let mut found = medium.after_a_cut();
        for step in steps {
            medium.take(*step);
            found.extend(medium.after_a_cut());
        }
        (found, medium.after_a_cut())
    }

    #[test]
    fn a_power_cut_leaves_the_old_file_or_the_new_one() {
        let (meanwhile, afterwards) = cuts(&STEPS);
        assert_eq!(meanwhile, BTreeSet::from(["old", "new"]));
        assert_eq!(afterwards, BTreeSet::from(["new"]));
        let without = |left_out: Step| {
            let steps: Vec<_> = STEPS.into_iter().filter(|step| *step != left_out).collect();
            cuts(&steps)
        };
        assert!(without(Step::FlushFile).0.contains("torn"));
        assert!(without(Step::FlushFolder).1.contains("old"));
    }

    #[test]
    fn the_file_has_content_and_permissions_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.yaml");
        // What a cut left over: for everybody's eyes, and a link to somebody else's file.
        let other = folder.path().join("other");
        fs::write(&other, "theirs").unwrap();
        let fresh = format!("a.yaml.{}.new", std::process::id());
        symlink(&other, folder.path().join(fresh)).unwrap();
        for content in ["first", "second"] {
            write(&path, content.as_bytes(), 0o600).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(fs::read_to_string(&other).unwrap(), "theirs");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_is_there_is_not_created_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        create(&path, b"first", 0o600).unwrap();
        let error = create(&path, b"second", 0o600).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}
