//! Appends the rings to files, in batches.
//!
//! A memory card wears out by the number of writes more than by their size: each source is written at most twice a
//! minute, unless it says much, and then in one piece.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{FileLimits, Line, Logs, Reader, unix_ms};

/// How long lines wait for company.
const EVERY: Duration = Duration::from_secs(30);
/// The most files of a source, however many were allowed before.
const MOST_FILES: u32 = 20;

/// The writer that appends all logs to files in a folder. Start it only when the folder is on a disk that is meant for it: in memory
/// the logs are already.
pub struct Persist {
    folder: PathBuf,
    logs: Logs,
    readers: BTreeMap<String, Reader<Line>>,
    failing: bool,
}

impl Persist {
    /// Prepares to write what is kept now and all that comes.
    pub fn new(folder: impl Into<PathBuf>, logs: Logs) -> Self {
        Persist {
            folder: folder.into(),
            logs,
            readers: BTreeMap::new(),
            failing: false,
        }
    }

    /// Writes a batch now and then, and a last one at `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let logs = self.logs.clone();
        let mut stopped = false;
        while !stopped {
            stopped = tokio::select! {
                // Cancel safe: asks only for a state.
                () = stop.cancelled() => true,
                // Cancel safe: dropping a sleep has no effect.
                () = tokio::time::sleep(EVERY) => false,
                // Cancel safe: `notify_one` keeps its permit for the next waiter.
                () = logs.said_much() => false,
            };
            let written = tokio::task::spawn_blocking(move || {
                let result = self.write_batch();
                (self, result)
            });
            // A panic of ours ends the writing of logs, and is reported; the rings go on.
            let Ok((back, result)) = written.await else { return };
            self = back;
            self.tell(result);
        }
    }

    /// Appends what is new to each source's file. What could not be written is not tried again: it stays in memory
    /// for those who ask, and the rest is written all the same.
    pub fn write_batch(&mut self) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let mut result = Ok(());
        for source in self.logs.sources() {
            let Some(reader) = reader(&mut self.readers, &self.logs, &source) else {
                continue;
            };
            let text = drain(reader);
            if !text.is_empty() {
                let path = self.folder.join(format!("{source}.log"));
                result = result.and(append(&path, &text, self.logs.limits(&source)));
            }
        }
        result
    }

    /// Reports a failure once: the report would be written, too.
    fn tell(&mut self, result: io::Result<()>) {
        match &result {
            Err(error) if !self.failing => {
                tracing::warn!("cannot write logs to {}: {error}", self.folder.display());
            }
            Ok(()) if self.failing => tracing::info!("logs are written to {} again", self.folder.display()),
            _ => {}
        }
        self.failing = result.is_err();
    }
}

fn reader<'a>(
    readers: &'a mut BTreeMap<String, Reader<Line>>,
    logs: &Logs,
    source: &str,
) -> Option<&'a mut Reader<Line>> {
    if !readers.contains_key(source) {
        readers.insert(source.to_owned(), logs.follow(source, None)?);
    }
    readers.get_mut(source)
}

fn drain(reader: &mut Reader<Line>) -> String {
    let mut text = String::new();
    while let Some(read) = reader.try_next() {
        let seconds = unix_ms(read.item.uptime_ms) / 1000;
        if read.dropped > 0 {
            let written = writeln!(
                text,
                "{seconds} ({} lines came too fast to be kept)",
                read.dropped
            );
            written.expect("writing to a string does not fail");
        }
        let written = writeln!(text, "{seconds} {}", read.item.text);
        written.expect("writing to a string does not fail");
    }
    text
}

fn append(path: &Path, text: &str, limits: FileLimits) -> io::Result<()> {
    let present = fs::metadata(path).map_or(0, |metadata| metadata.len());
    if present > 0 && present + text.len() as u64 > limits.size {
        put_aside(path, limits.count)?;
    }
    fs::File::options()
        .append(true)
        .create(true)
        .open(path)?
        .write_all(text.as_bytes())
}

/// Makes room for a new file: those before move on by one, and what is too many is removed.
fn put_aside(path: &Path, count: u32) -> io::Result<()> {
    let aside = |number: u32| match number {
        0 => path.to_owned(),
        number => path.with_extension(format!("log.{number}")),
    };
    // There were more when more were allowed.
    for number in count.max(1)..=MOST_FILES {
        remove(&aside(number))?;
    }
    for number in (1..count).rev() {
        match fs::rename(aside(number - 1), aside(number)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    match count {
        0 | 1 => remove(path),
        _ => Ok(()),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::{LONGEST_LINE, say};

    fn texts(folder: &Path, file: &str) -> Vec<String> {
        let text = fs::read_to_string(folder.join(file)).unwrap_or_default();
        let line = |line: &str| line.split_once(' ').unwrap().1.to_owned();
        text.lines().map(line).collect()
    }

    #[test]
    fn each_line_is_written_once() {
        let folder = tempfile::tempdir().unwrap();
        let logs = Logs::new();
        let mut persist = Persist::new(folder.path().join("log"), logs.clone());
        say(&logs.ring("containerd"), "one");
        persist.write_batch().unwrap();
        say(&logs.ring("containerd"), "two");
        persist.write_batch().unwrap();
        persist.write_batch().unwrap();
        assert_eq!(texts(folder.path(), "log/containerd.log"), ["one", "two"]);
    }

    #[test]
    fn what_was_lost_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let logs = Logs::new();
        let mut persist = Persist::new(folder.path(), logs.clone());
        say(&logs.ring("a"), "first");
        persist.write_batch().unwrap();
        for _ in 0..100 {
            say(&logs.ring("a"), &"x".repeat(LONGEST_LINE));
        }
        persist.write_batch().unwrap();
        let lines = texts(folder.path(), "a.log");
        let lost = 100 - (lines.len() - 2);
        assert_eq!(lines[1], format!("({lost} lines came too fast to be kept)"));
        assert!(lost > 80, "{lost}");
    }

    #[test]
    fn a_file_never_grows_beyond_its_limit_and_two_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let limits = FileLimits::default();
        let piece = "x".repeat(limits.size as usize / 3);
        for _ in 0..8 {
            append(&path, &piece, limits).unwrap();
        }
        let len = |name: &str| fs::metadata(folder.path().join(name)).unwrap().len();
        assert_eq!(len("a.log"), 2 * piece.len() as u64);
        assert_eq!(len("a.log.1"), 3 * piece.len() as u64);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_source_has_as_many_files_of_that_size_as_it_is_allowed() {
        let folder = tempfile::tempdir().unwrap();
        let logs = Logs::new();
        let mut persist = Persist::new(folder.path(), logs.clone());
        let mut say_much = |count: u32, lines: usize| {
            let limits = FileLimits { size: 20_000, count };
            logs.limit([("a".to_owned(), limits)].into());
            for number in 0..lines {
                say(&logs.ring("a"), &format!("{number} {}", "x".repeat(7_000)));
                say(&logs.ring("b"), &"y".repeat(7_000));
                persist.write_batch().unwrap();
            }
            let mut found: Vec<(String, u64)> = fs::read_dir(folder.path())
                .unwrap()
                .map(|entry| entry.unwrap())
                .map(|entry| {
                    (
                        entry.file_name().into_string().unwrap(),
                        entry.metadata().unwrap().len(),
                    )
                })
                .collect();
            found.sort();
            found
        };
        let found = say_much(3, 12);
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a.log", "a.log.1", "a.log.2", "b.log"]);
        assert!(found[..3].iter().all(|(_, size)| *size <= 20_000), "{found:?}");
        assert!(found[3].1 > 80_000, "b has the usual limits");
        // The newest are kept.
        let kept = ["a.log.2", "a.log.1", "a.log"]
            .map(|file| texts(folder.path(), file))
            .concat();
        let numbers: Vec<&str> = kept.iter().map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!(numbers, ["6", "7", "8", "9", "10", "11"]);
        let found = say_much(1, 3);
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a.log", "b.log"], "fewer are allowed now");
    }

    #[test]
    fn one_file_in_the_way_does_not_hold_up_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let logs = Logs::new();
        let mut persist = Persist::new(folder.path(), logs.clone());
        fs::create_dir(folder.path().join("a.log")).unwrap();
        say(&logs.ring("a"), "lost");
        say(&logs.ring("b"), "kept");
        assert!(persist.write_batch().is_err());
        assert_eq!(texts(folder.path(), "b.log"), ["kept"]);
    }

    #[tokio::test]
    async fn writes_when_much_was_said_and_at_the_end_and_not_for_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let (logs, stop) = (Logs::new(), CancellationToken::new());
        let run = tokio::spawn(Persist::new(folder.path(), logs.clone()).run(stop.clone()));
        say(&logs.ring("a"), "little");
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(texts(folder.path(), "a.log"), [""; 0]);
        for _ in 0..9 {
            say(&logs.ring("b"), &"x".repeat(LONGEST_LINE));
        }
        let written = async {
            while texts(folder.path(), "b.log").is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), written)
            .await
            .expect("written before its time");
        assert_eq!(
            texts(folder.path(), "a.log"),
            ["little"],
            "all are written together"
        );
        say(&logs.ring("a"), "last");
        stop.cancel();
        run.await.unwrap();
        assert_eq!(texts(folder.path(), "a.log"), ["little", "last"]);
    }
}
