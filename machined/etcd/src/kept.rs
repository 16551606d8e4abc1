//! The snapshots that a node keeps: what they are called, which there are, and which are to go.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use time::{Date, Month, OffsetDateTime, Time};

use crate::places::{PlaceError, Places, failed};

/// Their folder, beside etcd's data.
const FOLDER: &str = "snapshots";
/// The end of their names.
const EXTENSION: &str = ".db";
/// What is left free on the disk, as a share of it within limits in bytes: pods and etcd itself need some.
const FREE_SHARE: u64 = 10;
const FREE_LEAST: u64 = 256 << 20;
const FREE_MOST: u64 = 2 << 30;

/// A snapshot that the node keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    /// The revision that etcd had at least.
    pub revision: u64,
    /// When it was taken, in whole seconds.
    pub taken: SystemTime,
    /// Its length in bytes.
    pub size: u64,
}

impl Kept {
    /// Returns the name of its file, such as `20261127T181500Z-r4711.db`.
    pub fn name(&self) -> String {
        let at = OffsetDateTime::from(self.taken);
        format!(
            "{:04}{:02}{:02}T{:02}{:02}{:02}Z-r{}{EXTENSION}",
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour(),
            at.minute(),
            at.second(),
            self.revision
        )
    }

    /// Reads the name of a file; none if it is not one that [`Kept::name`] returns.
    pub fn named(name: &str, size: u64) -> Option<Self> {
        let (at, revision) = name.strip_suffix(EXTENSION)?.split_once("Z-r")?;
        let (day, time) = at.split_once('T')?;
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if day.len() != 8 || time.len() != 6 || ![day, time, revision].into_iter().all(digits) {
            return None;
        }
        let two = |text: &str, at: usize| text.get(at..at + 2)?.parse::<u8>().ok();
        let month = Month::try_from(two(day, 4)?).ok()?;
        let date = Date::from_calendar_date(day.get(..4)?.parse().ok()?, month, two(day, 6)?).ok()?;
        let time = Time::from_hms(two(time, 0)?, two(time, 2)?, two(time, 4)?).ok()?;
        let kept = Self {
            revision: revision.parse().ok()?,
            taken: OffsetDateTime::new_utc(date, time).into(),
            size,
        };
        // One name for each, so that a revision of `007` is none.
        (kept.name() == name).then_some(kept)
    }
}

impl Places {
    /// Returns where snapshots are kept.
    pub(crate) fn snapshots(&self) -> PathBuf {
        self.beside.join(FOLDER)
    }

    /// Lists the snapshots that are kept, the newest first. What counts is etcd's revision: the clock may have been wrong.
    pub(crate) fn kept(&self) -> Result<Vec<Kept>, PlaceError> {
        let folder = self.snapshots();
        let listed = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            listed => listed.map_err(|source| failed("read", &folder, source))?,
        };
        let files = listed.filter_map(Result::ok);
        let mut kept: Vec<Kept> = files
            .filter_map(|file| Kept::named(file.file_name().to_str()?, file.metadata().ok()?.len()))
            .collect();
        kept.sort_by_key(|kept| std::cmp::Reverse((kept.revision, kept.taken)));
        Ok(kept)
    }

    /// Removes some of them.
    pub(crate) fn remove_kept(&self, gone: &[Kept]) -> Result<(), PlaceError> {
        for kept in gone {
            let path = self.snapshots().join(kept.name());
            fs::remove_file(&path).map_err(|source| failed("remove", &path, source))?;
        }
        Ok(())
    }
}

/// Returns how long until the next one is due; zero if it is. One that was taken in the future was taken by a wrong clock, and
/// does not count.
pub(crate) fn until_due(now: SystemTime, newest: Option<&Kept>, interval: Duration) -> Duration {
    let age = newest.and_then(|newest| now.duration_since(newest.taken).ok());
    age.map_or(Duration::ZERO, |age| interval.saturating_sub(age))
}

/// Decides how many of the kept ones may stay, the newest first, so that one of `length` bytes fits beside what has to be free on
/// the disk. At least one stays: the new one is not there yet. None if it does not fit even so.
pub(crate) fn make_room(total: u64, available: u64, length: u64, kept: &[Kept]) -> Option<usize> {
    let needed = length.saturating_add(headroom(total));
    let mut available = available;
    let mut stay = kept.len();
    while available < needed {
        if stay <= 1 {
            return None;
        }
        stay -= 1;
        available = available.saturating_add(kept.get(stay)?.size);
    }
    Some(stay)
}

/// Returns what has to stay free on a disk of that size.
pub(crate) fn headroom(total: u64) -> u64 {
    (total / FREE_SHARE).clamp(FREE_LEAST, FREE_MOST)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn kept(revision: u64, seconds: u64, size: u64) -> Kept {
        Kept {
            revision,
            taken: at(seconds),
            size,
        }
    }

    #[test]
    fn a_name_says_when_it_was_taken_and_at_which_revision() {
        let one = kept(4711, 1_795_803_300, 9);
        assert_eq!(one.name(), "20261127T181500Z-r4711.db");
        assert_eq!(Kept::named("20261127T181500Z-r4711.db", 9), Some(one));
        for other in [
            "20261127T181500Z-r04711.db",
            "20261327T181500Z-r4711.db",
            "20261127T181560Z-r4711.db",
            "20261127T181500Z-r.db",
            "20261127T181500Z-r+1.db",
            "../20261127T181500Z-r4711.db",
            "arriving",
            "",
        ] {
            assert_eq!(Kept::named(other, 9), None, "{other}");
        }
    }

    #[test]
    fn the_newest_is_the_one_with_the_highest_revision_whatever_the_clock_said() {
        let root = tempfile::tempdir().unwrap();
        let places = Places::below(root.path());
        assert_eq!(places.kept().unwrap(), []);
        fs::create_dir_all(places.snapshots()).unwrap();
        let all = [kept(30, 100, 1), kept(20, 999_999, 2), kept(10, 50, 3)];
        for one in &all {
            let content = vec![0; usize::try_from(one.size).unwrap()];
            fs::write(places.snapshots().join(one.name()), content).unwrap();
        }
        fs::write(places.snapshots().join("arriving"), b"part").unwrap();
        assert_eq!(places.kept().unwrap(), all);
        places.remove_kept(&all[1..]).unwrap();
        assert_eq!(places.kept().unwrap(), all[..1]);
    }

    #[test]
    fn it_is_due_after_the_interval_and_at_once_after_a_wrong_clock() {
        let hour = Duration::from_secs(3600);
        let until = |now, newest: Option<&Kept>| until_due(at(now), newest, hour).as_secs();
        let newest = kept(1, 10_000, 1);
        assert_eq!(until(10_600, Some(&newest)), 3000);
        assert_eq!(until(13_600, Some(&newest)), 0);
        assert_eq!(until(9_999, Some(&newest)), 0);
        assert_eq!(until(5, None), 0);
    }

    #[test]
    fn old_ones_make_room_but_the_last_one_stays() {
        let all = [
            kept(3, 3, 100 << 20),
            kept(2, 2, 100 << 20),
            kept(1, 1, 100 << 20),
        ];
        let room = |available: u64| make_room(1 << 30, available << 20, 90 << 20, &all);
        assert_eq!(room(400), Some(3));
        assert_eq!(room(346), Some(3));
        assert_eq!(room(345), Some(2));
        assert_eq!(room(146), Some(1));
        assert_eq!(room(145), None);
        assert_eq!(make_room(1 << 30, 345 << 20, 90 << 20, &[]), None);
        assert_eq!(
            [headroom(16 << 30), headroom(252 << 30)],
            [(16 << 30) / 10, 2 << 30]
        );
    }

    proptest! {
        #[test]
        fn names_are_read_back(revision: u64, seconds in 0..250_000_000_000_u64, size: u64) {
            let one = kept(revision, seconds, size);
            prop_assert_eq!(Kept::named(&one.name(), size), Some(one));
        }

        #[test]
        fn what_must_be_free_stays_free(
            total in 0..(1_u64 << 40), available in 0..(1_u64 << 40), length in 0..(1_u64 << 33),
            sizes in proptest::collection::vec(0..(1_u64 << 33), 0..8),
        ) {
            let all: Vec<Kept> = sizes.iter().map(|size| kept(1, 1, *size)).collect();
            if let Some(stay) = make_room(total, available, length, &all) {
                prop_assert!(stay >= all.len().min(1));
                let freed: u64 = sizes[stay..].iter().sum();
                prop_assert!(available + freed >= length + headroom(total));
            }
        }
    }
}
