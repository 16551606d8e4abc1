//! Checks what running containers can do at most, according to the kernel.

use std::fs;

use anyhow::{Context as _, Result, ensure};

/// The program in every container here.
const PROGRAM: &str = "pause";
/// `CAP_SYS_ADMIN`, which only privileged containers have.
const ADMIN: u64 = 1 << 21;
/// Capabilities over kernel, hardware and clock, which no container may have.
const NOBODYS: [(&str, u64); 4] = [
    ("SYS_MODULE", 1 << 16),
    ("SYS_RAWIO", 1 << 17),
    ("SYS_BOOT", 1 << 22),
    ("SYS_TIME", 1 << 25),
];

/// Checks all containers, and describes what the privileged one can do. Fails when there is none, and when one can do too
/// much.
pub fn of_the_most_privileged() -> Result<String> {
    let all = bounds()?;
    for (name, bit) in NOBODYS {
        ensure!(
            all.iter().all(|bounds| bounds & bit == 0),
            "a container has {name}"
        );
    }
    let privileged = all.iter().find(|bounds| *bounds & ADMIN != 0);
    let privileged = privileged.with_context(|| format!("none of {} containers is privileged", all.len()))?;
    Ok(format!("a privileged container has {privileged:x} at most"))
}

/// Reads the bounding set of each container's process.
fn bounds() -> Result<Vec<u64>> {
    let mut found = Vec::new();
    for process in fs::read_dir("/proc").context("cannot list /proc")? {
        let path = process.context("cannot list /proc")?.path();
        // Not a process, or one that has exited in the meantime.
        let Ok(status) = fs::read_to_string(path.join("status")) else {
            continue;
        };
        let field = |name: &str| {
            let mut lines = status.lines();
            lines.find_map(|line| Some(line.strip_prefix(name)?.trim()))
        };
        if field("Name:") != Some(PROGRAM) {
            continue;
        }
        let bounds = field("CapBnd:").context("a process without a bounding set")?;
        found.push(u64::from_str_radix(bounds, 16).context("a bounding set that is not a number")?);
    }
    Ok(found)
}
