//! Appends the rings to files, in batches.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Line, Logs, Reader, unix_ms};

/// How long lines wait for company.
const EVERY: Duration = Duration::from_secs(60);
/// A file that has grown beyond this is put aside, and replaces the one put aside before.
const LARGEST: u64 = 4 * 1024 * 1024;

/// Appends all logs to files in a folder.
pub struct Persist {
    folder: PathBuf,
    logs: Logs,
    readers: HashMap<String, Reader<Line>>,
}

impl Persist {
    /// Prepares to write what is kept now and all that comes.
    pub fn new(folder: impl Into<PathBuf>, logs: Logs) -> Self {
        Persist {
            folder: folder.into(),
            logs,
            readers: HashMap::new(),
        }
    }

    /// Writes a batch now and then, and a last one at `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let stopped = tokio::select! {
                // Cancel safe: asks only for a state.
                () = stop.cancelled() => true,
                // Cancel safe: dropping a sleep has no effect.
                () = tokio::time::sleep(EVERY) => false,
            };
            if let Err(error) = self.write_batch() {
                tracing::warn!("cannot write logs to {}: {error}", self.folder.display());
            }
            if stopped {
                return;
            }
        }
    }

    /// Appends what is new to each source's file.
    pub fn write_batch(&mut self) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        for source in self.logs.sources() {
            let logs = &self.logs;
            let reader = match self.readers.entry(source.clone()) {
                std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::hash_map::Entry::Vacant(entry) => {
                    let Some(reader) = logs.follow(&source, None) else {
                        continue;
                    };
                    entry.insert(reader)
                }
            };
            let text = drain(reader);
            if !text.is_empty() {
                append(&self.folder.join(format!("{source}.log")), &text)?;
            }
        }
        Ok(())
    }
}

fn drain(reader: &mut Reader<Line>) -> String {
    let mut text = String::new();
    while let Some(read) = reader.try_next() {
        let seconds = unix_ms(read.item.uptime_ms) / 1000;
        let written = writeln!(text, "{seconds} {}", read.item.text);
        written.expect("writing to a string does not fail");
    }
    text
}

fn append(path: &Path, text: &str) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|metadata| metadata.len() > LARGEST) {
        fs::rename(path, path.with_extension("log.1"))?;
    }
    fs::File::options()
        .append(true)
        .create(true)
        .open(path)?
        .write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::say;

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
        let text = fs::read_to_string(folder.path().join("log/containerd.log")).unwrap();
        let lines: Vec<&str> = text.lines().map(|line| line.split_once(' ').unwrap().1).collect();
        assert_eq!(lines, ["one", "two"]);
    }

    #[test]
    fn a_large_file_is_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        fs::File::create(&path).unwrap().set_len(LARGEST + 1).unwrap();
        append(&path, "new\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new\n");
        assert_eq!(
            fs::metadata(folder.path().join("a.log.1")).unwrap().len(),
            LARGEST + 1
        );
    }
}
