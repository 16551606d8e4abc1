//! Ways to break a running system.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// Where root may make the kernel crash, whatever keys are allowed at the keyboard.
const SYSRQ: &str = "/proc/sysrq-trigger";
const PANIC_TIMEOUT: &str = "/proc/sys/kernel/panic";
const CGROUPS: &str = "/sys/fs/cgroup";

/// Makes the kernel panic, which restarts the machine.
pub fn panic() -> Result<()> {
    write(Path::new(SYSRQ), "c")
}

/// Makes the kernel hang: it panics, and then loops forever, with interrupts off.
pub fn hang() -> Result<()> {
    write(Path::new(PANIC_TIMEOUT), "0")?;
    panic()
}

/// Makes PID 1 hang while the kernel and everything else continue: it is frozen.
pub fn stall() -> Result<()> {
    let folder = Path::new(CGROUPS).join("stalled");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    write(&folder.join("cgroup.procs"), "1")?;
    write(&folder.join("cgroup.freeze"), "1")?;
    wait()
}

/// Does nothing, forever.
pub fn wait() -> Result<()> {
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {text} to {}", path.display()))
}
