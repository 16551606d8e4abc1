//! What a service writes to disks: read from the kernel, counted since the start of the machine and over the last hour.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io;
use std::path::Path;

/// How far back the last hour goes, in milliseconds.
const HOUR_MS: u64 = 3_600_000;
/// How far apart the points are from which the last hour is counted.
const STEP_MS: u64 = 60_000;

/// What the kernel says that a service has written to disks, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// All that its cgroup has written, since that was made.
    Whole(u64),
    /// What each of its processes has written, where cgroups do not count.
    Each(BTreeMap<u32, u64>),
}

impl Written {
    /// Reads it for the service whose cgroup has this folder.
    pub(crate) fn of(cgroup: &Path) -> Option<Self> {
        match fs::read_to_string(cgroup.join("io.stat")) {
            Ok(text) => Some(Self::Whole(sum(&text, is_medium))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let processes = fs::read_to_string(cgroup.join("cgroup.procs")).ok()?;
                let processes = processes.lines().filter_map(|line| line.parse().ok());
                let each = processes.filter_map(|pid: u32| {
                    let text = fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
                    Some((pid, of_process(&text)?))
                });
                Some(Self::Each(each.collect()))
            }
            Err(_) => None,
        }
    }
}

/// Adds up what `io.stat` says was written to devices that count.
fn sum(text: &str, counts: impl Fn(&str) -> bool) -> u64 {
    let written = |line: &str| -> Option<u64> {
        let (device, values) = line.split_once(' ')?;
        let value = values
            .split_ascii_whitespace()
            .find_map(|value| value.strip_prefix("wbytes="))?;
        counts(device).then(|| value.parse().ok()).flatten()
    };
    text.lines().filter_map(written).fold(0, u64::saturating_add)
}

/// Tells whether a device, such as `179:0`, wears out by itself: what is written to one that is made of others is counted
/// there, and one in memory does not count.
fn is_medium(device: &str) -> bool {
    let link = fs::read_link(Path::new("/sys/dev/block").join(device));
    link.map_or(true, |target| {
        !target.components().any(|part| part.as_os_str() == "virtual")
    })
}

/// Reads `/proc/PID/io`: what it wrote, without what was removed before it reached the disk.
fn of_process(text: &str) -> Option<u64> {
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().parse::<u64>().ok()
    };
    let written = value("write_bytes:")?;
    Some(written.saturating_sub(value("cancelled_write_bytes:").unwrap_or(0)))
}

/// The count of one service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Writes {
    total: u64,
    /// What was said last.
    last: Option<Written>,
    /// The total at moments in milliseconds since the start of the machine, the oldest first.
    points: VecDeque<(u64, u64)>,
}

impl Writes {
    /// Counts what the kernel says now, so many milliseconds after the start of the machine.
    pub(crate) fn count(&mut self, now_ms: u64, written: Written) {
        self.total = self.total.saturating_add(match (&written, &self.last) {
            // One that says less was made again.
            (Written::Whole(now), Some(Written::Whole(before))) if now >= before => now - before,
            (Written::Whole(now), _) => *now,
            (Written::Each(now), before) => since(now, before.as_ref()),
        });
        self.last = Some(written);
        if self
            .points
            .back()
            .is_none_or(|(at, _)| now_ms.saturating_sub(*at) >= STEP_MS)
        {
            self.points.push_back((now_ms, self.total));
        }
        // The newest point that is an hour old stays.
        while let Some((second, _)) = self.points.get(1)
            && now_ms.saturating_sub(*second) >= HOUR_MS
        {
            self.points.pop_front();
        }
    }

    /// Returns the bytes since the start of the machine, and those of the last hour; none while nothing is known.
    pub(crate) fn counted(&self) -> Option<(u64, u64)> {
        self.last.as_ref()?;
        let (now, _) = self.points.back()?;
        let hour_ago = self
            .points
            .front()
            .filter(|(at, _)| now.saturating_sub(*at) >= HOUR_MS)
            .map_or(0, |(_, total)| *total);
        Some((self.total, self.total.saturating_sub(hour_ago)))
    }
}

/// Adds up what processes have written since the last time. One that is new has written all of its own.
fn since(now: &BTreeMap<u32, u64>, before: Option<&Written>) -> u64 {
    let before = |pid: &u32| match before {
        Some(Written::Each(before)) => before.get(pid).copied().unwrap_or(0),
        _ => 0,
    };
    let each = now.iter().map(|(pid, now)| match before(pid) {
        before if *now >= before => now - before,
        _ => *now,
    });
    each.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_media_count_and_each_once() {
        let text = "179:0 rbytes=1 wbytes=4096 rios=1 wios=1 dbytes=0 dios=0\n253:0 rbytes=0 wbytes=4096\n7:0\n179:8 wbytes=x\n8:0 wbytes=100 wios=3\n";
        assert_eq!(sum(text, |device| !device.starts_with("253:")), 4196);
        assert_eq!(sum("", |_| true), 0);
        assert!(is_medium("999:999"), "what is not known is counted");
    }

    #[test]
    fn what_never_reached_the_disk_is_taken_off() {
        let text = "rchar: 9\nwchar: 99999\nread_bytes: 5\nwrite_bytes: 8192\ncancelled_write_bytes: 4096\n";
        assert_eq!(of_process(text), Some(4096));
        assert_eq!(of_process("wchar: 1\n"), None);
    }

    #[test]
    fn the_kernel_counts_what_this_process_writes() {
        let program = std::env::current_exe().unwrap();
        let folder = tempfile::tempdir_in(program.parent().unwrap()).unwrap();
        let mounts = sys::mount_table::parse(&fs::read("/proc/self/mountinfo").unwrap());
        let within = mounts
            .iter()
            .filter(|mount| folder.path().starts_with(&mount.target));
        let mount = within.max_by_key(|mount| mount.target.as_os_str().len()).unwrap();
        if mount.fstype == "tmpfs" {
            eprintln!(
                "skipped: {} is in memory, where nothing is counted",
                mount.target.display()
            );
            return;
        }
        fs::write(
            folder.path().join("cgroup.procs"),
            format!("{}\n", std::process::id()),
        )
        .unwrap();
        let Some(Written::Each(before)) = Written::of(folder.path()) else {
            panic!("it is not counted")
        };
        let mut file = fs::File::create(folder.path().join("data")).unwrap();
        file.write_all(&[7; 1 << 20]).unwrap();
        file.sync_all().unwrap();
        let after = Written::of(folder.path()).unwrap();
        let mut writes = Writes::default();
        writes.count(0, Written::Each(before));
        let (start, _) = writes.counted().unwrap();
        writes.count(1, after);
        let (end, _) = writes.counted().unwrap();
        assert!(end - start >= 1 << 20, "{start} {end}");
    }

    #[test]
    fn the_count_goes_on_when_processes_end_and_cgroups_are_made_again() {
        let mut writes = Writes::default();
        assert_eq!(writes.counted(), None);
        let total = |writes: &Writes| writes.counted().unwrap().0;
        for (said, expected) in [(100, 100), (150, 150), (10, 160), (10, 160)] {
            writes.count(0, Written::Whole(said));
            assert_eq!(total(&writes), expected);
        }
        let mut writes = Writes::default();
        let each = |all: &[(u32, u64)]| Written::Each(all.iter().copied().collect());
        for (said, expected) in [
            (each(&[(1, 10), (2, 5)]), 15),
            (each(&[(1, 12), (3, 7)]), 24),
            (each(&[]), 24),
        ] {
            writes.count(0, said);
            assert_eq!(total(&writes), expected);
        }
    }

    proptest! {
        #[test]
        fn the_last_hour_is_what_was_written_in_it(minutes in proptest::collection::vec(0..1000_u64, 1..200)) {
            let (mut writes, mut said) = (Writes::default(), 0);
            for (minute, written) in minutes.iter().enumerate() {
                said += written;
                writes.count(minute as u64 * STEP_MS, Written::Whole(said));
                prop_assert!(writes.points.len() <= 61);
            }
            let (total, hour) = writes.counted().unwrap();
            prop_assert_eq!(total, minutes.iter().sum::<u64>());
            let from = minutes.len().saturating_sub(60);
            prop_assert_eq!(hour, minutes[from..].iter().sum::<u64>());
        }
    }
}
