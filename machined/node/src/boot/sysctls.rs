//! Kernel parameters: the table of every node, and those of the machine config.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// Where parameters are.
pub const ROOT: &str = "/proc/sys";

/// Parameters that every node starts with. The machine config may say otherwise, but for what is [`fixed`].
/// Each row of the Kernel Self-Protection Project's list is taken here or refused with its reason in docs/security.md.
pub const DEFAULTS: &[(&str, &str)] = &[
    // What the loader verified stays what runs: no other kernel is started from this one, until the power goes.
    ("kernel.kexec_load_disabled", "1"),
    // Programs that the kernel starts by itself (modprobe, the pipe of a core dump) may load modules, which must be signed,
    // and nothing else: whoever can write the path of one has all of root's rights otherwise.
    ("kernel.usermodehelper.bset", ONLY_SYS_MODULE),
    ("kernel.usermodehelper.inheritable", ONLY_SYS_MODULE),
    // A node that hangs helps nobody: it restarts, and a slot on trial falls back.
    ("kernel.panic", "10"),
    ("kernel.panic_on_oops", "1"),
    // Containers must not read the kernel's log, nor learn where it lies in memory.
    ("kernel.dmesg_restrict", "1"),
    ("kernel.kptr_restrict", "2"),
    ("kernel.unprivileged_bpf_disabled", "1"),
    ("net.core.bpf_jit_harden", "2"),
    ("kernel.perf_event_paranoid", "3"),
    // Who may trace others has CAP_SYS_PTRACE: machined's memory holds keys.
    ("kernel.yama.ptrace_scope", "2"),
    ("kernel.sysrq", "0"),
    ("kernel.io_uring_disabled", "2"),
    ("kernel.randomize_va_space", "2"),
    ("kernel.oops_limit", "100"),
    ("dev.tty.ldisc_autoload", "0"),
    ("dev.tty.legacy_tiocsti", "0"),
    ("vm.unprivileged_userfaultfd", "0"),
    ("vm.mmap_min_addr", "65536"),
    // As many as the architecture can: addresses are not to be guessed.
    ("vm.mmap_rnd_bits", MMAP_RND_BITS),
    ("vm.mmap_rnd_compat_bits", "16"),
    ("fs.protected_hardlinks", "1"),
    ("fs.protected_symlinks", "1"),
    ("fs.protected_fifos", "2"),
    ("fs.protected_regular", "2"),
    ("fs.suid_dumpable", "0"),
    // What machined says must not be held back: it is the only witness of a failed start.
    ("kernel.printk_devkmsg", "on"),
    // Containers talk to each other and to the world through this node. Whoever forwards no longer listens to IPv6
    // routers: `network-links` has its own interfaces listen all the same (`accept_ra`).
    ("net.ipv4.ip_forward", "1"),
    ("net.ipv6.conf.all.forwarding", "1"),
    // After `ip_forward`, which changes them. One interface that may send them is enough: `all` alone forbids nothing,
    // `default` is for interfaces to come, `*` for those that are there.
    ("net.ipv4.conf.all.accept_redirects", "0"),
    ("net.ipv4.conf.default.accept_redirects", "0"),
    ("net.ipv4.conf.all.send_redirects", "0"),
    ("net.ipv4.conf.default.send_redirects", "0"),
    ("net.ipv4.conf.*.send_redirects", "0"),
    ("net.ipv6.conf.all.accept_redirects", "0"),
    ("net.ipv6.conf.default.accept_redirects", "0"),
    ("net.ipv4.conf.all.accept_source_route", "0"),
    ("net.ipv4.conf.default.accept_source_route", "0"),
    ("net.ipv6.conf.all.accept_source_route", "0"),
    ("net.ipv6.conf.default.accept_source_route", "0"),
    ("net.ipv4.tcp_syncookies", "1"),
    ("net.ipv4.icmp_echo_ignore_broadcasts", "1"),
    ("net.ipv4.icmp_ignore_bogus_error_responses", "1"),
    // Every container may watch files; the kernel's defaults are for one user at a desk.
    ("fs.inotify.max_user_instances", "8192"),
    ("fs.inotify.max_user_watches", "524288"),
    // The kubelet insists on it, and Go programs map far more than they use.
    ("vm.overcommit_memory", "1"),
];

/// Bit 16 of the capabilities' two halves, `CAP_SYS_MODULE`.
const ONLY_SYS_MODULE: &str = "65536 0";
#[cfg(target_arch = "aarch64")]
const MMAP_RND_BITS: &str = "33";
#[cfg(not(target_arch = "aarch64"))]
const MMAP_RND_BITS: &str = "32";

/// Parameters, or folders of them, that a machine config cannot change, each with the reason.
const FIXED: &[(&str, &str)] = &[
    (
        "kernel.kexec_load_disabled",
        "another kernel would end the verified boot",
    ),
    (
        "kernel.modprobe",
        "the kernel loads modules through machined, which has them from the verified image",
    ),
    (
        "kernel.usermodehelper",
        "what the kernel starts may load modules and nothing else",
    ),
    (
        "kernel.modules_disabled",
        "a node loads modules for devices that are plugged in; none loads without a signature as it is",
    ),
];

/// A parameter that could not be set.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel did not take it.
    #[error("cannot set the kernel parameter {name} to {value:?}")]
    Refused {
        /// The parameter.
        name: String,
        /// What it was to be.
        value: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The node is a container.
    #[error("the kernel parameter {name} is the host's: set it there, and take it out of machine.sysctls")]
    Hosts {
        /// The parameter.
        name: String,
    },
    /// It holds the verified boot together.
    #[error("the kernel parameter {name} is fixed: {reason}; take it out of machine.sysctls")]
    Fixed {
        /// The parameter.
        name: String,
        /// What depends on it.
        reason: &'static str,
    },
}

/// Tells whether a container has a parameter of its own: the others are the host's.
pub fn is_containers(name: &str) -> bool {
    ["net.ipv4.", "net.ipv6.", "net.netfilter.", "net.core.somaxconn"]
        .iter()
        .any(|own| file(name).starts_with(file(own.trim_end_matches('.'))))
}

/// Sets a parameter of a machine config below a folder (`/proc/sys`), unless it is fixed.
pub fn set_wanted(folder: &Path, name: &str, value: &str) -> Result<(), Error> {
    let named = std::iter::once(file(name));
    // A part `*` may stand for one of them.
    let found = paths(folder, name).unwrap_or_default();
    let found = found.iter().filter_map(|path| path.strip_prefix(folder).ok());
    let mut all = named.chain(found.map(Path::to_owned));
    match all.find_map(|path| fixed(&path)) {
        Some(reason) => Err(Error::Fixed {
            name: name.to_owned(),
            reason,
        }),
        None => set(folder, name, value),
    }
}

/// Returns why a machine config cannot change a parameter, if so, by its path below `/proc/sys`.
fn fixed(path: &Path) -> Option<&'static str> {
    let found = FIXED.iter().find(|(fixed, _)| path.starts_with(file(fixed)));
    found.map(|(_, reason)| *reason)
}

/// Returns true if the kernel changes other parameters along with this one: they are to be set after it.
pub fn changes_others(name: &str) -> bool {
    name == "net.ipv4.ip_forward" || name.ends_with(".forwarding")
}

/// Sets one parameter below a folder (`/proc/sys`); a part `*` stands for all that are there.
pub fn set(folder: &Path, name: &str, value: &str) -> Result<(), Error> {
    let failed = |source| Error::Refused {
        name: name.to_owned(),
        value: value.to_owned(),
        source,
    };
    for path in paths(folder, name).map_err(failed)? {
        // Some parameters are understood only as a whole line.
        fs::write(path, format!("{value}\n")).map_err(failed)?;
    }
    Ok(())
}

fn paths(folder: &Path, name: &str) -> io::Result<Vec<PathBuf>> {
    let Some((before, after)) = name.split_once(".*.") else {
        return Ok(vec![folder.join(file(name))]);
    };
    let all = fs::read_dir(folder.join(file(before)))?;
    all.map(|one| Ok(one?.path().join(file(after)))).collect()
}

/// Returns a parameter's file. Dots part its words, slashes stand for dots within one: as `sysctl` has it.
fn file(name: &str) -> PathBuf {
    let swapped = name.chars().map(|mark| match mark {
        '.' => '/',
        '/' => '.',
        other => other,
    });
    PathBuf::from(swapped.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_are_folders_and_slashes_dots() {
        assert_eq!(file("net.ipv4.ip_forward"), PathBuf::from("net/ipv4/ip_forward"));
        assert_eq!(
            file("net.ipv4.conf.eth0/1.mtu"),
            PathBuf::from("net/ipv4/conf/eth0.1/mtu")
        );
    }

    #[test]
    fn a_star_stands_for_all_that_are_there() {
        let folder = tempfile::tempdir().unwrap();
        for link in ["all", "eth0", "eth0.1"] {
            fs::create_dir_all(folder.path().join("net/ipv4/conf").join(link)).unwrap();
        }
        set(folder.path(), "net.ipv4.conf.*.send_redirects", "0").unwrap();
        for link in ["all", "eth0", "eth0.1"] {
            let path = folder
                .path()
                .join("net/ipv4/conf")
                .join(link)
                .join("send_redirects");
            assert_eq!(fs::read_to_string(path).unwrap(), "0\n");
        }
        assert!(set(folder.path(), "net.ipv6.conf.*.send_redirects", "0").is_err());
    }

    #[test]
    fn values_are_written_and_failures_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("kernel")).unwrap();
        set(folder.path(), "kernel.panic", "10").unwrap();
        assert_eq!(
            fs::read_to_string(folder.path().join("kernel/panic")).unwrap(),
            "10\n"
        );
        let error = set(folder.path(), "no.such", "1").unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot set the kernel parameter no.such to \"1\""
        );
    }

    #[test]
    fn what_holds_the_verified_boot_together_is_fixed_however_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("kernel/usermodehelper")).unwrap();
        for name in [
            "kernel.*.bset",
            "kernel.kexec_load_disabled",
            "kernel.modprobe",
            "kernel.usermodehelper.bset",
            "kernel..modprobe",
        ] {
            let error = set_wanted(folder.path(), name, "0").unwrap_err();
            assert!(matches!(error, Error::Fixed { .. }), "{name}: {error}");
        }
        for name in ["kernel.modprobes", "kernel.panic", "vm.swappiness"] {
            assert_eq!(fixed(&file(name)), None, "{name}");
        }
    }

    #[test]
    fn every_parameter_is_documented_with_its_reason() {
        let page = include_str!("../../../../docs/security.md");
        let about_others = [
            "kernel.printk_devkmsg",
            "net.ipv4.ip_forward",
            "net.ipv6.conf.all.forwarding",
            "fs.inotify.max_user_instances",
            "fs.inotify.max_user_watches",
            "vm.overcommit_memory",
        ];
        for (name, _) in DEFAULTS.iter().filter(|(name, _)| !about_others.contains(name)) {
            let either = name.replace(".default.", ".*.").replace(".all.", ".*.");
            assert!(
                page.contains(&format!("`{name}`")) || page.contains(&format!("`{either}`")),
                "docs/security.md says nothing of {name}"
            );
        }
    }

    #[test]
    fn no_parameter_is_there_twice() {
        let names: std::collections::BTreeSet<&str> = DEFAULTS.iter().map(|(name, _)| *name).collect();
        assert_eq!(names.len(), DEFAULTS.len());
    }
}
