//! Container mode: machined as the first process of a container instead of a machine.

use std::net::IpAddr;
use std::path::Path;
use std::{env, fs};

use machine_config::value::Host;
use state::kinds::ContainerMode;

use super::Handover;

/// The variable by which engines tell the first process of a container what it is in.
const VARIABLE: &str = "container";
/// What a container is without, whatever its engine.
const MISSING: &[&str] = &[
    "there are no slots and no boot loader: a new release comes with a new container",
    "the root file system is not verified: whoever started the container answers for it",
    "kernel, modules and the parameters that are not the network's are the host's",
    "the clock is the host's",
    "disks and the watchdog are left to the host",
];

/// Returns what the engine calls itself when this is a container; none on a machine.
///
/// A machine that started by an initramfs of ours is none, whatever its kernel's command line puts into the environment.
pub fn engine() -> Option<String> {
    let engine = env::var(VARIABLE).ok().filter(|engine| !engine.is_empty())?;
    (!Handover::is_left()).then_some(engine)
}

/// Looks at what the engine made, below a root folder (`/`). Must be called before `/etc` is replaced.
pub fn look(engine: String, root: &Path) -> ContainerMode {
    let text = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
    let (nameservers, search) = resolver(&text("etc/resolv.conf"));
    ContainerMode {
        engine,
        hostname: text("proc/sys/kernel/hostname").trim().parse().ok(),
        interfaces: interfaces(&root.join("sys/class/net")),
        nameservers,
        search,
        missing: MISSING.iter().map(|&sentence| sentence.to_owned()).collect(),
    }
}

/// Lists network interfaces but for the loopback interface.
fn interfaces(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter(|entry| entry.path().join("address").exists())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name != "lo")
        .collect();
    names.sort();
    names
}

/// Reads name servers and search domains of a `resolv.conf`. What is neither is skipped.
fn resolver(text: &str) -> (Vec<IpAddr>, Vec<Host>) {
    let (mut servers, mut search) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        match words.next() {
            Some("nameserver") => {
                servers.extend(words.next().and_then(|server| server.parse::<IpAddr>().ok()))
            }
            // The last one counts.
            Some("search" | "domain") => search = words.filter_map(|domain| domain.parse().ok()).collect(),
            _ => {}
        }
    }
    (servers, search)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_engine_made_is_read_from_its_files() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put(
            "etc/resolv.conf",
            "# by podman\nsearch old\nsearch dns.podman lab.example\nnameserver 10.89.0.1\nnameserver no\noptions ndots:1\n",
        );
        put("proc/sys/kernel/hostname", "node1\n");
        put("sys/class/net/lo/address", "");
        put("sys/class/net/eth0/address", "");
        put("sys/class/net/bonding_masters", "");
        let mode = look("podman".into(), root.path());
        assert_eq!(mode.hostname.unwrap().as_str(), "node1");
        assert_eq!(mode.interfaces, ["eth0"]);
        assert_eq!(mode.nameservers, ["10.89.0.1".parse::<IpAddr>().unwrap()]);
        let search: Vec<&str> = mode.search.iter().map(Host::as_str).collect();
        assert_eq!(search, ["dns.podman", "lab.example"]);
        assert_eq!(mode.missing.len(), MISSING.len());
    }
}
