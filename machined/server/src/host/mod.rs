//! Reads figures out of `/proc` and `/sys`, and turns them into the API's messages.
//!
//! Parsing is apart from reading: each file here has pure functions over text, and a method of [`Host`] that reads.
//! What the kernel does not tell stays zero or empty.

mod cgroup;
mod cpu;
mod disk;
mod link;
mod memory;
mod mount;
mod network;
mod process;
mod socket;

use std::path::{Path, PathBuf};
use std::str::FromStr;

pub use link::Link;

/// Units of time in `/proc`: Linux reports to programs in hundredths of a second on every architecture we run on.
const TICK_MS: u64 = 10;

/// Where the kernel's files are; tests point it at folders of their own.
#[derive(Debug, Clone)]
pub struct Host {
    proc: PathBuf,
    sys: PathBuf,
}

impl Default for Host {
    fn default() -> Self {
        Self::at(Path::new("/"))
    }
}

impl Host {
    /// Reads `proc` and `sys` below a root.
    pub fn at(root: &Path) -> Self {
        Self {
            proc: root.join("proc"),
            sys: root.join("sys"),
        }
    }

    /// Returns the kernel's release.
    pub fn kernel(&self) -> String {
        text(&self.proc.join("sys/kernel/osrelease"))
    }

    /// Returns the time since the kernel started.
    pub fn uptime_ms(&self) -> u64 {
        uptime_ms(&text(&self.proc.join("uptime")))
    }

    /// Returns the resident memory of this process.
    pub fn own_rss_bytes(&self) -> u64 {
        process::kilobytes(&text(&self.proc.join("self/status")), "VmRSS")
    }
}

/// Reads a small file, without the blanks around its text; empty where it cannot be read.
fn text(path: &Path) -> String {
    std::fs::read_to_string(path)
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// Reads a number; zero where there is none.
fn number<N: FromStr + Default>(path: &Path) -> N {
    text(path).parse().unwrap_or_default()
}

/// Names the entries of a folder, in order; none where it cannot be read.
fn entries(path: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

fn uptime_ms(text: &str) -> u64 {
    let (seconds, hundredths) = text
        .split(' ')
        .next()
        .and_then(|first| first.split_once('.'))
        .unwrap_or(("", ""));
    let part = |text: &str| text.parse::<u64>().unwrap_or(0);
    part(seconds)
        .saturating_mul(1000)
        .saturating_add(part(hundredths).saturating_mul(10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uptime_is_in_milliseconds() {
        assert_eq!(uptime_ms("12.34 20.00"), 12_340);
        assert_eq!(uptime_ms(""), 0);
    }

    #[test]
    fn this_machine_has_figures() {
        let host = Host::default();
        assert!(host.uptime_ms() > 0 && host.own_rss_bytes() > 0 && !host.kernel().is_empty());
        let processes = host.processes().processes;
        let own = processes.iter().find(|process| process.pid == std::process::id());
        assert!(own.expect("this process").rss_bytes > 0);
        assert!(host.memory().total_bytes > host.memory().available_bytes);
        assert!(!host.cpu().cpus.is_empty());
    }
}
