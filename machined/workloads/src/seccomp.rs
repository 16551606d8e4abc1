//! The filter of system calls, as the OCI runtime specification has it. Pure.
//!
//! What is not allowed fails with EPERM, as if the kernel refused it. The list is that of ordinary programs, the idea Docker's and
//! containerd's: a workload has no use for mounts, namespaces, keys of the kernel, modules, tracing or `io_uring`, in all of which
//! faults of the kernel were found. With a capability come the calls that it is for.

use serde_json::{Value, json};

const ALLOWED: &str = include_str!("seccomp/allowed.txt");
const EPERM: u32 = 1;
/// Programs try an older call then.
const ENOSYS: u32 = 38;
/// The flags of `clone` that make namespaces.
const NAMESPACES: u64 = 0x7e02_0000;
/// What `personality` is asked for by ordinary programs: Linux as it is, 32 bits, no address randomisation for debuggers of either, and
/// the question what is set.
const PERSONALITIES: [u64; 5] = [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff];
/// The families of sockets that nobody gets: the kernel's cryptography, and those to a hypervisor.
const FAMILIES: [u64; 2] = [38, 40];

/// The system calls that come with a capability.
const WITH: [(&str, &[&str]); 14] = [
    ("BPF", &["bpf"]),
    ("DAC_READ_SEARCH", &["open_by_handle_at"]),
    ("PERFMON", &["perf_event_open"]),
    (
        "SYS_ADMIN",
        &[
            "bpf",
            "clone",
            "clone3",
            "fanotify_init",
            "fsconfig",
            "fsmount",
            "fsopen",
            "fspick",
            "mount",
            "mount_setattr",
            "move_mount",
            "open_tree",
            "perf_event_open",
            "quotactl",
            "quotactl_fd",
            "setdomainname",
            "sethostname",
            "setns",
            "syslog",
            "umount",
            "umount2",
            "unshare",
        ],
    ),
    ("SYSLOG", &["syslog"]),
    ("SYS_BOOT", &["reboot"]),
    ("SYS_CHROOT", &["chroot"]),
    ("SYS_MODULE", &["delete_module", "finit_module", "init_module"]),
    (
        "SYS_NICE",
        &[
            "get_mempolicy",
            "mbind",
            "migrate_pages",
            "move_pages",
            "set_mempolicy",
            "set_mempolicy_home_node",
        ],
    ),
    ("SYS_PACCT", &["acct"]),
    ("SYS_PTRACE", &["kcmp", "pidfd_getfd", "process_madvise"]),
    ("SYS_RAWIO", &["ioperm", "iopl"]),
    (
        "SYS_TIME",
        &["clock_settime", "clock_settime64", "settimeofday", "stime"],
    ),
    ("SYS_TTY_CONFIG", &["vhangup"]),
];

/// Makes the filter of a workload with these capabilities, without `CAP_`.
pub fn filter(capabilities: &[String]) -> Value {
    let has = |name: &str| capabilities.iter().any(|one| one == name);
    let lines = ALLOWED.lines().filter(|line| !line.starts_with('#'));
    let mut names: Vec<&str> = lines.flat_map(str::split_whitespace).collect();
    for (_, calls) in WITH.iter().filter(|(capability, _)| has(capability)) {
        names.extend(
            calls
                .iter()
                .filter(|call| !names.contains(call))
                .collect::<Vec<_>>(),
        );
    }
    let allow = |name: &str, value: u64, operator: &str| {
        json!({
            "names": [name],
            "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 0, "value": value, "op": operator}],
        })
    };
    let mut rules = vec![json!({"names": names, "action": "SCMP_ACT_ALLOW"})];
    rules.extend(PERSONALITIES.map(|value| allow("personality", value, "SCMP_CMP_EQ")));
    // Every family below, between and above: one rule cannot say two things of one argument.
    rules.push(allow("socket", FAMILIES[0], "SCMP_CMP_LT"));
    rules.push(allow("socket", FAMILIES[0] + 1, "SCMP_CMP_EQ"));
    rules.push(allow("socket", FAMILIES[1], "SCMP_CMP_GT"));
    if !has("SYS_ADMIN") {
        rules.push(json!({
            "names": ["clone"],
            "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 0, "value": NAMESPACES, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}],
        }));
        // Its flags are in memory, where no filter looks.
        rules.push(json!({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS}));
    }
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": EPERM,
        "architectures": architectures(),
        "syscalls": rules,
    })
}

/// The node's own architecture, and that of its programs of 32 bits.
fn architectures() -> &'static [&'static str] {
    match std::env::consts::ARCH {
        "aarch64" => &["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
        _ => &["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(capabilities: &[&str]) -> Vec<String> {
        let capabilities: Vec<String> = capabilities.iter().map(|name| (*name).to_owned()).collect();
        let filter = filter(&capabilities);
        let names = filter["syscalls"][0]["names"].as_array().unwrap();
        names
            .iter()
            .map(|name| name.as_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn what_changes_the_node_comes_with_its_capability_or_never() {
        let plain = allowed(&[]);
        let mut sorted = plain.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!(plain, sorted, "the file is in order, and names nothing twice");
        for (capability, calls) in WITH {
            let with = allowed(&[capability]);
            for call in calls {
                assert!(
                    !plain.iter().any(|name| name == call),
                    "{call} without {capability}"
                );
                assert!(with.iter().any(|name| name == call), "{call} with {capability}");
            }
        }
        let all: Vec<&str> = WITH.iter().map(|(capability, _)| *capability).collect();
        for never in [
            "keyctl",
            "add_key",
            "kexec_load",
            "io_uring_setup",
            "userfaultfd",
            "pivot_root",
            "swapon",
        ] {
            assert!(!allowed(&all).iter().any(|name| name == never), "{never}");
        }
    }

    #[test]
    fn namespaces_cannot_be_made_by_clone_either() {
        let rule = |capabilities: &[String], name: &str| {
            let filter = filter(capabilities);
            let rules = filter["syscalls"].as_array().unwrap()[1..].to_vec();
            rules.into_iter().find(|rule| rule["names"] == json!([name]))
        };
        assert_eq!(rule(&[], "clone").unwrap()["args"][0]["value"], NAMESPACES);
        assert_eq!(rule(&[], "clone3").unwrap()["errnoRet"], ENOSYS);
        assert_eq!(rule(&["SYS_ADMIN".to_owned()], "clone"), None);
    }
}
