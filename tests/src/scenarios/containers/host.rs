//! What containers need on this host.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::tools::Tool;

/// Where a host has both versions of cgroups.
const HYBRID: &str = "/sys/fs/cgroup/unified/cgroup.procs";
/// The most processes of a node.
const PROCESSES: u64 = 16_384;

/// Returns the command that runs a privileged container, as far as it follows from the host.
pub(super) fn run() -> Result<Tool> {
    let runtime = Tool::new("podman")
        .args(["info", "--format", "{{.Host.OCIRuntime.Name}}"])
        .run()?;
    let mut run = Tool::new("podman");
    // crun cannot run containers there.
    if runtime.trim() == "crun" && Path::new(HYBRID).exists() {
        run = run.args(["--runtime", "runc"]);
    }
    run = run.args(["run", "--detach", "--privileged", "--cgroupns", "private"]);
    // Podman's own limits may be more than this process may give.
    let limits = fs::read_to_string("/proc/self/limits")?;
    let files = hard(&limits, "Max open files").context("no limit of open files")?;
    let processes = hard(&limits, "Max processes").context("no limit of processes")?;
    for (kind, limit) in [("nofile", files), ("nproc", processes.min(PROCESSES))] {
        run = run.args(["--ulimit", &format!("{kind}={limit}:{limit}")]);
    }
    Ok(run)
}

/// Reads a hard limit; what is unlimited is more than anybody needs.
fn hard(limits: &str, name: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.split_ascii_whitespace().nth(1)?.parse().unwrap_or(1 << 20))
}
