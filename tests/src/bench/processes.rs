//! What the processes of a node, or of anything, take from this machine.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::tools::Tool;

/// What a program's processes have taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Memory of its own, in bytes: what the kernel cannot drop.
    pub memory: u64,
    /// Memory that holds parts of files, such as programs, in bytes.
    pub files: u64,
    /// What was written to disks since they were started, in bytes.
    pub written: u64,
}

/// Returns what all processes of a container have taken, by program.
pub fn of_container(name: &str) -> Result<BTreeMap<String, Taken>> {
    let pid = Tool::new("podman")
        .args(["inspect", "--format", "{{.State.Pid}}", name])
        .run()?;
    let inside = namespace(&Path::new("/proc").join(pid.trim()));
    let inside = inside.with_context(|| format!("container {name} does not run"))?;
    let mut found: BTreeMap<String, Taken> = BTreeMap::new();
    for process in fs::read_dir("/proc")?.flatten().map(|entry| entry.path()) {
        if namespace(&process).as_ref() != Some(&inside) {
            continue;
        }
        // A process may have ended by now.
        if let Some((program, taken)) = of_process(&process) {
            let sum = found.entry(program).or_default();
            sum.memory += taken.memory;
            sum.files += taken.files;
            sum.written += taken.written;
        }
    }
    Ok(found)
}

/// Returns what one process has taken, with its program's name; none if it has ended.
pub fn of_process(folder: &Path) -> Option<(String, Taken)> {
    let read = |file: &str| fs::read_to_string(folder.join(file)).ok();
    let status = read("status")?;
    let resident = |what: &str| number(&status, what).unwrap_or_default() * 1024;
    let taken = Taken {
        memory: resident("RssAnon:") + resident("RssShmem:"),
        files: resident("RssFile:"),
        written: number(&read("io")?, "write_bytes:")?,
    };
    let line = read("cmdline")?;
    let program = line.split('\0').next().unwrap_or_default();
    let program = program.rsplit('/').next().unwrap_or_default();
    Some((program.to_owned(), taken))
}

/// Names the namespace of processes that one is in.
fn namespace(process: &Path) -> Option<PathBuf> {
    fs::read_link(process.join("ns/pid")).ok()
}

/// Reads the number after a word at the start of a line.
fn number(text: &str, word: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(word))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_takes_memory() {
        let (program, taken) = of_process(Path::new("/proc/self")).unwrap();
        assert!(program.starts_with("e2e"), "{program}");
        assert!(taken.memory > 10_000 && taken.files > 100_000, "{taken:?}");
        assert_eq!(number("read: 1\nwrite_bytes: 4096\n", "write_bytes:"), Some(4096));
    }
}
