//! Knows the emulator of a node by the lock that it holds on its pidfile.
//!
//! QEMU locks its pidfile as long as it runs, and the kernel tells whose lock it is. So neither a number that was reused nor a
//! program of the same name is ever taken for it (docs/decisions/0184).

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use sys::lock::{self, Holder};
use sys::process::{Stop, stop};

/// How long a process that was killed may take to end: it gives back gigabytes.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Returns the process that runs with a pidfile; none when it has ended, or never began.
pub(super) fn find(pidfile: &Path) -> anyhow::Result<Option<u32>> {
    let shown = || format!("cannot see who uses {}", pidfile.display());
    match File::open(pidfile) {
        Ok(file) => match lock::holder(&file).with_context(shown)? {
            Holder::Nobody => Ok(None),
            Holder::Process(pid) => Ok(Some(pid)),
            Holder::Unseen => {
                Err(anyhow::anyhow!("it runs where this program does not see it")).with_context(shown)
            }
        },
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(shown),
    }
}

/// Ends the process that runs with a pidfile, and waits until it is gone. Returns whether there was one.
pub(super) fn end(pidfile: &Path) -> anyhow::Result<bool> {
    let deadline = Instant::now() + PATIENCE;
    let mut was = false;
    while let Some(pid) = find(pidfile)? {
        was = true;
        // It may have ended since.
        let stopped = stop(pid, Stop::Kill);
        if find(pidfile)?.is_some() {
            stopped.with_context(|| format!("cannot end process {pid} of {}", pidfile.display()))?;
        }
        anyhow::ensure!(
            Instant::now() < deadline,
            "process {pid} of {} does not end",
            pidfile.display()
        );
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(was)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn what_is_not_locked_does_not_run() {
        let folder = tempfile::tempdir().unwrap();
        let pidfile = folder.path().join("pid");
        assert_eq!(find(&pidfile).unwrap(), None);
        // A number is no proof: this one is a process, and no emulator.
        let mut other = Command::new("sleep")
            .arg("1000")
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        std::fs::write(&pidfile, other.id().to_string()).unwrap();
        assert_eq!(find(&pidfile).unwrap(), None);
        assert!(!end(&pidfile).unwrap());
        assert!(other.try_wait().unwrap().is_none(), "a stranger was killed");
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
