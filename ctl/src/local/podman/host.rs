//! What containers need on this host beside the usual.

use std::fs;
use std::path::Path;

use anyhow::Context as _;

use super::podman;

/// The capability `SYS_RESOURCE`, by which limits are raised.
const RAISES_LIMITS: u64 = 1 << 24;
/// The most processes that a node without that capability gets.
const PROCESSES: u64 = 16_384;
/// Where a host has both versions of cgroups.
const HYBRID: &str = "/sys/fs/cgroup/unified/cgroup.procs";

/// The host's peculiarities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Host {
    /// Set where crun, which is Podman's choice, cannot run containers.
    pub needs_runc: bool,
    /// The limits that containers get, where this process may not give them Podman's own.
    pub limits: Option<[(&'static str, u64); 2]>,
}

impl Host {
    /// Looks at this host.
    ///
    /// # Errors
    /// Fails when Podman does not say how it runs containers.
    pub(super) fn look() -> anyhow::Result<Self> {
        let runtime = podman(["info", "--format", "{{.Host.OCIRuntime.Name}}"])?;
        let read = |path: &str| fs::read_to_string(path).with_context(|| format!("cannot read {path}"));
        Ok(Host {
            needs_runc: runtime.trim() == "crun" && Path::new(HYBRID).exists(),
            limits: limits(&read("/proc/self/status")?, &read("/proc/self/limits")?),
        })
    }
}

/// Decides by `/proc/PID/status` and `/proc/PID/limits`. Pure.
fn limits(status: &str, limits: &str) -> Option<[(&'static str, u64); 2]> {
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|set| u64::from_str_radix(set.trim(), 16).ok())?;
    if effective & RAISES_LIMITS != 0 {
        return None;
    }
    let hard = |name: &str| {
        let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
        // Unlimited, or unknown: more than anybody needs.
        Some(line.split_ascii_whitespace().nth(1)?.parse().unwrap_or(1 << 20))
    };
    Some([
        ("nofile", hard("Max open files")?),
        ("nproc", hard("Max processes")?.min(PROCESSES)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_named_only_where_they_cannot_be_raised() {
        let table = "Limit Soft Hard Units\nMax processes             96365                unlimited            processes \n\
                     Max open files            1024                 20000                files     \n";
        assert_eq!(limits("CapEff:\t000001ffffffffff\n", table), None);
        let expected = [("nofile", 20_000), ("nproc", PROCESSES)];
        assert_eq!(limits("CapEff:\t000001fffeffffff\n", table), Some(expected));
        assert_eq!(limits("", table), None);
    }
}
