//! A scenario that runs in a process of its own.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{self, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::schedule::Turn;
use crate::pace;
use crate::workshop::Workshop;

/// A scenario under way. Dropped, it is gone, and so are its machines.
pub struct Child {
    /// Which it is.
    pub turn: Turn,
    /// When it began.
    pub began: Instant,
    process: process::Child,
    folder: PathBuf,
    log: PathBuf,
}

/// How a scenario ended.
pub struct End {
    /// Set when all of it was shown.
    pub passed: bool,
    /// What it took of the processors, with everything that it started.
    pub worked: Duration,
}

impl Child {
    /// Starts it in an empty folder. What it says goes to a file there, or straight out when it runs alone.
    pub fn start(workshop: &Workshop, turn: Turn, alone: bool) -> Result<Child> {
        let folder = workshop.runs().join(turn.scenario.name);
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("cannot clear {}", folder.display()))?;
        }
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let log = folder.join("scenario.log");
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "TERM"])
            .arg(std::env::current_exe().context("this program has no path")?)
            .args(["scenario", turn.scenario.name])
            .args(["--machines", &turn.machines.to_string()])
            .args(["--pace", &pace::percent().to_string()])
            .stdin(Stdio::null());
        if !alone {
            let file = File::create(&log).with_context(|| format!("cannot create {}", log.display()))?;
            command.stdout(file.try_clone()?).stderr(file);
        }
        Ok(Child {
            turn,
            began: Instant::now(),
            process: command.spawn().context("cannot start setpriv")?,
            folder,
            log,
        })
    }

    /// Returns how it ended, once it has.
    pub fn ended(&mut self) -> Result<Option<End>> {
        // One thread waits for all of them: what is added to the account of the ended is this one's.
        let before = children_worked();
        let status = self.process.try_wait()?;
        Ok(status.map(|status| End {
            passed: status.success(),
            worked: children_worked().saturating_sub(before),
        }))
    }

    /// Returns what it printed, and where its files are.
    pub fn output(&self) -> String {
        let output = fs::read_to_string(&self.log).unwrap_or_default();
        format!(
            "{output}  consoles and disks are kept in {}",
            self.folder.display()
        )
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // An error means that it is gone already. Its machines end with it.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// Returns the processor time of all child processes that have ended, with that of theirs.
fn children_worked() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    parse_children(&stat).unwrap_or_default()
}

/// Reads `cutime` and `cstime`: fields 16 and 17, in hundredths of a second. The second field may hold blanks.
fn parse_children(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(13);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some(Duration::from_millis((ticks()? + ticks()?) * 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_what_children_took() {
        let stat = "42 (a b) c) S 1 42 42 0 -1 4194304 100 200 0 0 11 22 300 45 20 0 1 0 5000";
        assert_eq!(parse_children(stat), Some(Duration::from_millis(3450)));
        assert_eq!(parse_children("42 (x) S 1"), None);
        assert!(parse_children(&fs::read_to_string("/proc/self/stat").unwrap()).is_some());
    }
}
