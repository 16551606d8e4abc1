//! What a container uses, by the files of its cgroup.

use std::fs;
use std::path::Path;

use api::v1alpha1::WorkloadUsage;

use crate::oci;

/// Reads the usage of a workload's container; none while it has no cgroup.
pub fn read(cgroups: &Path, workload: &str) -> Option<WorkloadUsage> {
    let folder = cgroups.join(oci::cgroup(workload).trim_start_matches('/'));
    let text = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
    // Every cgroup but the root has this file, and the kernel answers it also without the memory controller.
    let pids = fs::read_to_string(folder.join("cgroup.threads")).ok()?;
    let counted = number(&text("pids.current")).unwrap_or_else(|| lines(&pids));
    Some(usage(
        &text("memory.current"),
        &text("memory.max"),
        &text("memory.events"),
        &text("cpu.stat"),
        counted,
    ))
}

/// Puts what the files say together. What one does not say is 0.
fn usage(current: &str, max: &str, events: &str, cpu: &str, pids: u64) -> WorkloadUsage {
    let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    WorkloadUsage {
        memory_bytes: number(current).unwrap_or(0),
        // `max` is no number.
        memory_limit_bytes: number(max).unwrap_or(0),
        cpu_ms: field(cpu, "usage_usec").unwrap_or(0) / 1000,
        pids: small(pids),
        out_of_memory_kills: small(field(events, "oom_kill").unwrap_or(0)),
    }
}

/// Returns the number in a line `NAME NUMBER`.
pub(crate) fn field(text: &str, name: &str) -> Option<u64> {
    let rest = |line: &'_ str| number(line.strip_prefix(name)?.strip_prefix(' ')?);
    text.lines().find_map(rest)
}

fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

fn lines(text: &str) -> u64 {
    u64::try_from(text.lines().count()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_kernel_are_read() {
        let events = "low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n";
        let cpu = "usage_usec 5004000\nuser_usec 1\nsystem_usec 2\n";
        let read = usage("4096\n", "8192\n", events, cpu, 3);
        let expected = WorkloadUsage {
            memory_bytes: 4096,
            memory_limit_bytes: 8192,
            cpu_ms: 5004,
            pids: 3,
            out_of_memory_kills: 2,
        };
        assert_eq!(read, expected);
        assert_eq!(usage("", "max\n", "", "", 0), WorkloadUsage::default());
    }

    #[test]
    fn a_workload_without_a_cgroup_uses_nothing_that_is_known() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path(), "camera"), None);
        let own = folder.path().join("workloads/camera");
        fs::create_dir_all(&own).unwrap();
        fs::write(own.join("cgroup.threads"), "1\n2\n").unwrap();
        assert_eq!(read(folder.path(), "camera").unwrap().pids, 2);
    }
}
