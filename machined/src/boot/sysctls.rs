//! Kernel parameters: the table of every node, and those of the machine config.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// Parameters that every node starts with. The machine config may say otherwise.
pub const DEFAULTS: &[(&str, &str)] = &[
    // A node that hangs helps nobody: it restarts, and a slot on trial falls back.
    ("kernel.panic", "10"),
    ("kernel.panic_on_oops", "1"),
    // Containers must not read the kernel's log, nor learn where it lies in memory.
    ("kernel.dmesg_restrict", "1"),
    ("kernel.kptr_restrict", "2"),
    ("kernel.unprivileged_bpf_disabled", "1"),
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
    // Every container may watch files; the kernel's defaults are for one user at a desk.
    ("fs.inotify.max_user_instances", "8192"),
    ("fs.inotify.max_user_watches", "524288"),
    // The kubelet insists on it, and Go programs map far more than they use.
    ("vm.overcommit_memory", "1"),
];

/// Says which parameter could not be set.
#[derive(Debug, thiserror::Error)]
#[error("cannot set the kernel parameter {name} to {value:?}")]
pub struct Error {
    name: String,
    value: String,
    #[source]
    source: io::Error,
}

/// Tells whether the kernel changes other parameters along with this one: they are to be set after it.
pub fn changes_others(name: &str) -> bool {
    name == "net.ipv4.ip_forward" || name.ends_with(".forwarding")
}

/// Sets one parameter below a folder (`/proc/sys`); a part `*` stands for all that are there.
pub fn set(folder: &Path, name: &str, value: &str) -> Result<(), Error> {
    let failed = |source| Error {
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
}
