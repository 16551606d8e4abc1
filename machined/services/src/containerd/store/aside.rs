//! Puts a store aside, and bounds what is kept of those.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use std::{fs, io};

/// How many stores are kept.
const KEPT: usize = 2;
/// How large one of them may be, in bytes; of a larger one the databases are kept.
const LARGEST: u64 = 64 << 20;
/// How long one is kept, and reported.
const LIFE: Duration = Duration::from_secs(7 * 86_400);
/// The file in it that says why it was put aside.
const WHY: &str = "why.txt";
/// What takes the room in a store: the snapshots and the blobs of images, which can be had again.
const LARGE: &[&str] = &[
    "io.containerd.snapshotter.v1.overlayfs/snapshots",
    "io.containerd.snapshotter.v1.native/snapshots",
    "io.containerd.content.v1.content/blobs",
    "io.containerd.content.v1.content/ingest",
];

/// A store that is kept for a look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Where it is.
    pub path: PathBuf,
    /// Why it was put aside.
    pub why: String,
    /// When.
    pub at: SystemTime,
}

/// Moves a store away, with the reason in it; whoever starts next makes a new one in its place.
///
/// The reason is written first, and the move is one rename: after a power cut the store is in its place or kept.
///
/// # Errors
/// Fails when the store is still in its place.
pub fn put_aside(root: &Path, aside: &Path, why: &str) -> io::Result<PathBuf> {
    fs::create_dir_all(aside)?;
    fs::write(root.join(WHY), format!("{why}\n"))?;
    fs::File::open(root.join(WHY))?.sync_all()?;
    let last = numbers(aside)?.into_iter().max().unwrap_or(0);
    let place = aside.join((last + 1).to_string());
    fs::rename(root, &place)?;
    fs::File::open(aside)?.sync_all()?;
    Ok(place)
}

/// Removes what need not be kept any longer, and lists the rest, oldest first.
///
/// # Errors
/// Fails when something cannot be removed or read.
pub fn trim(aside: &Path, now: SystemTime) -> io::Result<Vec<Kept>> {
    let mut numbers = match numbers(aside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        numbers => numbers?,
    };
    numbers.sort_unstable();
    let surplus = numbers.len().saturating_sub(KEPT);
    let mut kept = Vec::new();
    for (index, number) in numbers.into_iter().enumerate() {
        let path = aside.join(number.to_string());
        let at = fs::metadata(path.join(WHY)).and_then(|found| found.modified());
        // A clock that was wrong may make it seem younger, never older than it is by more than the clock was ahead.
        let is_old = |at: SystemTime| now.duration_since(at).is_ok_and(|age| age > LIFE);
        match at {
            Ok(at) if index >= surplus && !is_old(at) => {
                shrink(&path)?;
                let why = fs::read_to_string(path.join(WHY))?.trim().to_owned();
                kept.push(Kept { path, why, at });
            }
            _ => fs::remove_dir_all(&path)?,
        }
    }
    Ok(kept)
}

/// Removes what is large when there is too much of it.
fn shrink(store: &Path) -> io::Result<()> {
    let mut left = LARGEST;
    if fits(store, &mut left)? {
        return Ok(());
    }
    for folder in LARGE {
        match fs::remove_dir_all(store.join(folder)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Returns true if a folder fits; stops reading it when it does not.
fn fits(folder: &Path, left: &mut u64) -> io::Result<bool> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let found = entry.metadata()?;
        match left.checked_sub(found.len()) {
            Some(less) => *left = less,
            None => return Ok(false),
        }
        if found.is_dir() && !fits(&entry.path(), left)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn numbers(aside: &Path) -> io::Result<Vec<u32>> {
    let entries = fs::read_dir(aside)?.flatten();
    Ok(entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(at: &Path, blob: u64) {
        let blobs = at.join(LARGE[2]);
        fs::create_dir_all(&blobs).unwrap();
        fs::File::create(blobs.join("x")).unwrap().set_len(blob).unwrap();
        fs::write(at.join("meta.db"), "garbage").unwrap();
    }

    #[test]
    fn two_are_kept_for_a_week_and_of_a_large_one_the_databases() {
        let folder = tempfile::tempdir().unwrap();
        let (root, aside) = (folder.path().join("root"), folder.path().join("aside"));
        assert_eq!(trim(&aside, SystemTime::now()).unwrap(), []);
        for (round, blob) in [10, LARGEST + 1, 10].into_iter().enumerate() {
            store(&root, blob);
            let place = put_aside(&root, &aside, &format!("reason {round}")).unwrap();
            assert!(!root.exists() && place.join("meta.db").exists());
        }
        let kept = trim(&aside, SystemTime::now()).unwrap();
        let why: Vec<&str> = kept.iter().map(|kept| kept.why.as_str()).collect();
        assert_eq!(why, ["reason 1", "reason 2"]);
        let has_blobs = |kept: &Kept| kept.path.join(LARGE[2]).exists();
        assert_eq!((has_blobs(&kept[0]), has_blobs(&kept[1])), (false, true));
        assert!(kept.iter().all(|kept| kept.path.join("meta.db").exists()));

        let in_a_week = SystemTime::now() + LIFE;
        assert_eq!(
            trim(&aside, in_a_week - Duration::from_secs(60)).unwrap().len(),
            2
        );
        assert_eq!(
            trim(&aside, SystemTime::UNIX_EPOCH).unwrap().len(),
            2,
            "a clock in 1970"
        );
        assert_eq!(trim(&aside, in_a_week + Duration::from_secs(60)).unwrap(), []);
        assert_eq!(fs::read_dir(&aside).unwrap().count(), 0);
    }
}
