//! What holds on a running node after its verified boot.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::node::Node;
use crate::scenario::Stage;

/// What the kernel says of itself, by file.
const FILES: &[(&str, &str)] = &[
    (
        "/sys/kernel/security/lockdown",
        "none [integrity] confidentiality",
    ),
    ("/sys/module/module/parameters/sig_enforce", "Y"),
    ("/proc/sys/kernel/kexec_load_disabled", "1"),
    ("/proc/sys/kernel/usermodehelper/bset", "65536\t0"),
    ("/proc/sys/kernel/yama/ptrace_scope", "2"),
    ("/proc/sys/kernel/perf_event_paranoid", "3"),
    ("/proc/sys/kernel/kptr_restrict", "2"),
    ("/proc/sys/kernel/dmesg_restrict", "1"),
    ("/proc/sys/kernel/unprivileged_bpf_disabled", "1"),
    ("/proc/sys/kernel/io_uring_disabled", "2"),
    ("/proc/sys/kernel/randomize_va_space", "2"),
    ("/proc/sys/kernel/sysrq", "0"),
    ("/proc/sys/net/core/bpf_jit_harden", "2"),
    ("/proc/sys/dev/tty/ldisc_autoload", "0"),
    ("/proc/sys/vm/mmap_min_addr", "65536"),
    ("/proc/sys/fs/suid_dumpable", "0"),
    ("/proc/sys/fs/protected_fifos", "2"),
    ("/proc/sys/fs/protected_regular", "2"),
];

/// Words of the kernel's command line.
const ARGUMENTS: &[&str] = &[
    "lockdown=integrity",
    "module.sig_enforce=1",
    "init_on_alloc=1",
    "slab_nomerge",
    "page_alloc.shuffle=1",
    "randomize_kstack_offset=1",
    "debugfs=off",
    "proc_mem.force_override=never",
];

/// Mounts, and what each must be without.
const MOUNTS: &[(&str, &[&str])] = &[
    ("/", &["ro", "nosuid", "nodev"]),
    ("/var", &["nosuid", "nodev"]),
    ("/var/lib/bedplate", &["nosuid", "nodev", "noexec"]),
    ("/run", &["nosuid", "nodev", "noexec"]),
    ("/tmp", &["nosuid", "nodev", "noexec"]),
    ("/dev/shm", &["nosuid", "nodev", "noexec"]),
    ("/etc", &["nosuid", "nodev", "noexec"]),
    ("/dev", &["nosuid", "noexec"]),
];

/// What no container runtime has, and so no container.
const NOBODYS: &[&str] = &[
    "SYS_MODULE",
    "SYS_BOOT",
    "SYS_RAWIO",
    "SYS_TIME",
    "SYSLOG",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "AUDIT_CONTROL",
    "DAC_READ_SEARCH",
];

/// Checks all of it.
pub fn check(stage: &Stage, node: &Node) -> Result<()> {
    for (path, expected) in FILES {
        let found = node.command(&["read", path]).run()?;
        ensure!(
            found.trim() == *expected,
            "{path} is {:?}, not {expected:?}",
            found.trim()
        );
    }
    let line = node.command(&["read", "/proc/cmdline"]).run()?;
    for word in ARGUMENTS {
        ensure!(
            line.split_ascii_whitespace().any(|found| found == *word),
            "{word} is not among the kernel's arguments: {line}"
        );
    }
    let kernel = node.ask(&["get", "KernelStatus", "node"])?;
    let locked = json!({"mode": "integrity", "signedModulesOnly": true, "kexecDisabled": true});
    ensure!(
        kernel["value"]["lockdown"] == locked,
        "the kernel's status says {kernel:#}"
    );
    stage.shown("its kernel is locked down, takes signed modules only, and starts no other");
    mounts(stage, node)?;
    rights(stage, node)
}

fn mounts(stage: &Stage, node: &Node) -> Result<()> {
    let mounts = node.ask(&["mounts"])?;
    let rows = mounts["mounts"].as_array().context("no list of mounts")?;
    for (target, needed) in MOUNTS {
        // The last one covers those before it.
        let row = rows.iter().rfind(|row| row["target"] == *target);
        let row = row.with_context(|| format!("nothing is mounted on {target}"))?;
        let options = strings(&row["options"]);
        for option in *needed {
            ensure!(
                options.contains(option),
                "{target} is without {option}: {options:?}"
            );
        }
    }
    stage.shown("no device, set-user-id program or program where none belongs");
    Ok(())
}

fn rights(stage: &Stage, node: &Node) -> Result<()> {
    let status = node.ask(&["get", "ServiceStatus", "containerd"])?;
    let capabilities = strings(&status["value"]["rights"]["capabilities"]);
    ensure!(
        capabilities.contains(&"SYS_ADMIN"),
        "containerd's rights are not known: {status:#}"
    );
    for name in NOBODYS {
        ensure!(!capabilities.contains(name), "containerd has {name}");
    }
    stage.shown(&format!(
        "containerd and its containers have {} capabilities at most, none over kernel, clock or hardware",
        capabilities.len()
    ));
    Ok(())
}

fn strings(list: &Value) -> Vec<&str> {
    let items = list.as_array().map_or(&[][..], Vec::as_slice);
    items.iter().filter_map(Value::as_str).collect()
}
