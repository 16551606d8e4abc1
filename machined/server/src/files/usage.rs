//! The sizes of folders of DATA and STATE.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Instant;

use api::v1alpha1::{DirectoryUsage, UsageResponse};
use backend::BackendError;

use super::FilePolicy;
use super::walk::{Step, Walk};

/// The most directories in one response, and the most bytes of their paths.
const LISTED: usize = 4096;
const PATHS: usize = 1024 * 1024;
/// The most files with several names that are remembered, so that each counts once.
const LINKED: usize = 200_000;
/// Bytes of a block, as the kernel counts them.
const BLOCK: u64 = 512;

/// What is known of a folder that was not left yet.
#[derive(Default)]
struct Sum {
    size: u64,
    apparent: u64,
    files: u64,
    /// Its place in the response, if it is listed.
    listed: Option<usize>,
}

impl FilePolicy {
    /// Sums up a folder and those below it, and lists them down to this many levels.
    ///
    /// Other file systems that are mounted below are left out, as `du -x` does. Whatever is not counted when the time is over
    /// is missing, and the response says so.
    ///
    /// # Errors
    ///
    /// The folder is not one of those that may be measured, or does not exist.
    pub fn usage(&self, asked: &str, depth: u32, until: Instant) -> Result<UsageResponse, BackendError> {
        let (start, path) = self.open_measured(asked)?;
        let walk = Walk::new(start, path, |_| true)
            .map_err(|error| BackendError::Refused(format!("cannot read {asked}: {error}")))?;
        Ok(sum(walk, depth, until))
    }
}

fn sum(walk: Walk, depth: u32, until: Instant) -> UsageResponse {
    let mut response = UsageResponse::default();
    let mut open: Vec<Sum> = Vec::new();
    let (mut linked, mut room) = (HashSet::new(), PATHS);
    for step in walk {
        match step {
            Step::Enter(entry) => {
                let metadata = &entry.metadata;
                let mut new = Sum {
                    size: metadata.blocks() * BLOCK,
                    apparent: metadata.len(),
                    ..Sum::default()
                };
                if open.len() as u64 <= u64::from(depth) {
                    new.listed = list(&mut response, &entry.path, &mut room);
                }
                open.push(new);
            }
            Step::Leave => close(&mut open, &mut response),
            Step::Other(entry) => {
                let Some(last) = open.last_mut() else { continue };
                let metadata = &entry.metadata;
                last.files += 1;
                let once = metadata.nlink() < 2 || linked.len() >= LINKED || linked.insert(metadata.ino());
                if once {
                    last.size += metadata.blocks() * BLOCK;
                    last.apparent += metadata.len();
                }
            }
            Step::Skipped(..) => response.skipped += 1,
        }
        if Instant::now() > until {
            response.incomplete = true;
            break;
        }
    }
    while !open.is_empty() {
        close(&mut open, &mut response);
    }
    response
}

/// Makes a place for a folder in the response, unless there are too many.
fn list(response: &mut UsageResponse, path: &Path, room: &mut usize) -> Option<usize> {
    let path = path.display().to_string();
    if response.directories.len() >= LISTED || path.len() > *room {
        response.omitted += 1;
        return None;
    }
    *room -= path.len();
    response.directories.push(DirectoryUsage {
        path,
        ..DirectoryUsage::default()
    });
    Some(response.directories.len() - 1)
}

/// Writes down the sum of the folder that was entered last, and adds it to that of the one it is in.
fn close(open: &mut Vec<Sum>, response: &mut UsageResponse) {
    let Some(sum) = open.pop() else { return };
    if let Some(directory) = sum.listed.and_then(|index| response.directories.get_mut(index)) {
        directory.size_bytes = sum.size;
        directory.apparent_bytes = sum.apparent;
        directory.files = sum.files;
    }
    if let Some(outer) = open.last_mut() {
        outer.size += sum.size;
        outer.apparent += sum.apparent;
        outer.files += sum.files;
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use super::*;

    fn policy(root: &Path) -> FilePolicy {
        FilePolicy::new(Vec::new(), Vec::new(), PathBuf::from("/none")).measuring(root.to_owned())
    }

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[test]
    fn folders_are_summed_up_and_a_file_of_two_names_counts_once() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        std::fs::create_dir_all(root.join("c")).unwrap();
        std::fs::write(root.join("a/one"), vec![1; 10_000]).unwrap();
        std::fs::hard_link(root.join("a/one"), root.join("a/two")).unwrap();
        std::fs::write(root.join("a/b/three"), vec![1; 70_000]).unwrap();
        // A file of which nothing is on the disk.
        std::fs::File::create(root.join("c/sparse"))
            .unwrap()
            .set_len(1 << 30)
            .unwrap();
        let asked = root.display().to_string();
        let found = policy(&root).usage(&asked, 1, later()).unwrap();
        let by_name = |name: &str| {
            let path = root.join(name).display().to_string();
            let path = path.trim_end_matches('/');
            let mut of = found.directories.iter();
            of.find(|directory| directory.path == path).cloned().expect(name)
        };
        let (all, a, c) = (by_name(""), by_name("a"), by_name("c"));
        assert_eq!(found.directories.len(), 3, "{found:?}");
        assert_eq!(found.directories[0], all);
        let own = |name: &str| root.join(name).metadata().unwrap().len();
        assert_eq!(a.apparent_bytes, 80_000 + own("a") + own("a/b"));
        assert_eq!((all.files, a.files, c.files), (4, 3, 1));
        assert!(c.size_bytes < 1 << 20 && c.apparent_bytes >= 1 << 30, "{c:?}");
        assert!(all.size_bytes >= a.size_bytes + c.size_bytes && a.size_bytes >= 80_000);
        assert!(!found.incomplete);
        let one = policy(&root).usage(&format!("{asked}/a/b"), 0, later()).unwrap();
        assert_eq!(one.directories.len(), 1);
    }

    #[test]
    fn what_is_not_counted_in_time_is_missing_and_that_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("a/b/c")).unwrap();
        let found = policy(&root)
            .usage(&root.display().to_string(), 9, Instant::now())
            .unwrap();
        assert!(found.incomplete && found.directories.len() < 4, "{found:?}");
    }

    #[test]
    fn only_what_is_below_the_measured_folder_is_measured() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("var/x")).unwrap();
        std::fs::create_dir_all(root.join("etc")).unwrap();
        std::os::unix::fs::symlink(root.join("etc"), root.join("var/out")).unwrap();
        let policy = policy(&root.join("var"));
        for (path, refused) in [
            ("var/x", false),
            ("etc", true),
            ("var/out", true),
            ("var/../etc", true),
        ] {
            let found = policy.usage(&root.join(path).display().to_string(), 0, later());
            assert_eq!(found.is_err(), refused, "{path}: {found:?}");
        }
        assert!(matches!(
            policy.usage("", 0, later()),
            Err(BackendError::Refused(_))
        ));
    }

    #[test]
    fn the_response_is_bounded() {
        let (mut response, mut room) = (UsageResponse::default(), 10);
        assert_eq!(list(&mut response, Path::new("12345"), &mut room), Some(0));
        assert_eq!(list(&mut response, Path::new("123456"), &mut room), None);
        assert_eq!((response.omitted, response.directories.len()), (1, 1));
    }
}
