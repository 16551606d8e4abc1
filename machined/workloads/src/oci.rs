//! What the runtime is told of a container, by the OCI runtime specification. Pure.
//!
//! A container has what its workload names, and nothing else: no capabilities, no devices but the harmless ones that the
//! runtime always adds, its own namespaces, and no way to gain privileges.

use std::path::PathBuf;

use oci_image::Execution;
use serde_json::{Value, json};

use crate::seccomp;
use crate::settings::{Network, Settings};

/// Where every container finds its secrets.
const SECRETS: &str = "/run/secrets";
/// The folder of all containers' cgroups.
const CGROUP: &str = "/workloads";
/// How readily the kernel kills a workload when memory runs out: before anything of the node itself.
const OOM_SCORE: i32 = 500;
/// One period in which processor time is shared, in microseconds.
const PERIOD: u64 = 100_000;
/// What a container sees nothing of.
const MASKED: [&str; 9] = [
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
];
/// What a container can only read.
const READ_ONLY: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// A device that was found on the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its path in the container.
    pub path: String,
    /// Set for a block device, else it is one of characters.
    pub block: bool,
    /// Its numbers.
    pub major: u64,
    /// Its numbers.
    pub minor: u64,
    /// Set when it is only read.
    pub read_only: bool,
}

/// A workload cannot be run from its image.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Nobody says what to run.
    #[error("the image names no program; set command")]
    NoCommand,
    /// The image's user has to be looked up in it.
    #[error(
        "the image wants to run as {0:?}, which is a name; set user to its numbers, such as \"1000:1000\""
    )]
    User(String),
}

/// Returns the folder of a container's cgroup below the root of cgroups.
pub fn cgroup(name: &str) -> String {
    format!("{CGROUP}/{name}")
}

/// Returns user and group of a container.
///
/// # Errors
///
/// The image has a name there.
pub fn user(settings: &Settings, image: &Execution) -> Result<(u32, u32), Unfit> {
    if let Some(user) = settings.user {
        return Ok(user);
    }
    let (user, group) = image.user.split_once(':').unwrap_or((&image.user, "0"));
    let number = |text: &str| match text {
        "" | "root" => Some(0),
        text => text.parse().ok(),
    };
    match (number(user), number(group)) {
        (Some(user), Some(group)) => Ok((user, group)),
        _ => Err(Unfit::User(image.user.clone())),
    }
}

/// Returns the command line of a container.
///
/// # Errors
///
/// Neither workload nor image has one.
pub fn command(settings: &Settings, image: &Execution) -> Result<Vec<String>, Unfit> {
    let (first, rest) = match (settings.command.is_empty(), settings.args.is_empty()) {
        (false, _) => (&settings.command, &settings.args),
        (true, false) => (&image.entrypoint, &settings.args),
        (true, true) => (&image.entrypoint, &image.cmd),
    };
    let words: Vec<String> = first.iter().chain(rest).cloned().collect();
    if words.is_empty() {
        Err(Unfit::NoCommand)
    } else {
        Ok(words)
    }
}

/// Makes the process of a container with this command line.
///
/// # Errors
///
/// See [`user`].
pub fn process(settings: &Settings, image: &Execution, words: &[String]) -> Result<Value, Unfit> {
    let (uid, gid) = user(settings, image)?;
    let capabilities: Vec<String> = settings
        .capabilities
        .iter()
        .map(|name| format!("CAP_{name}"))
        .collect();
    let working_dir = settings.working_dir.as_deref().unwrap_or(&image.working_dir);
    Ok(json!({
        "terminal": false,
        "user": {"uid": uid, "gid": gid},
        "args": words,
        "env": environment(settings, image),
        "cwd": if working_dir.is_empty() { "/" } else { working_dir },
        "capabilities": {
            "bounding": capabilities,
            "effective": capabilities,
            "permitted": capabilities,
            // So that a user other than root has them, too.
            "inheritable": capabilities,
            "ambient": capabilities,
        },
        "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1024, "hard": settings.open_files}],
        "noNewPrivileges": true,
        "oomScoreAdj": OOM_SCORE,
    }))
}

/// Lists variables: the image's, the workload's, and those with secrets; of two with a name, the last one.
fn environment(settings: &Settings, image: &Execution) -> Vec<String> {
    let mut list = vec!["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()];
    list.extend(image.env.iter().cloned());
    list.push(format!("HOSTNAME={}", settings.name));
    list.extend(
        settings
            .environment
            .iter()
            .map(|(name, value)| format!("{name}={value}")),
    );
    let secrets = settings.secrets.iter();
    list.extend(secrets.filter_map(|secret| Some(format!("{}={}", secret.variable.as_ref()?, secret.value))));
    let name = |entry: &str| entry.split('=').next().unwrap_or_default().to_owned();
    let mut kept: Vec<String> = Vec::new();
    for entry in list {
        kept.retain(|other| name(other) != name(&entry));
        kept.push(entry);
    }
    kept
}

/// Where on the node a container finds what it needs.
#[derive(Debug, Clone)]
pub struct Folders<'a> {
    /// The one with the volumes of all workloads.
    pub volumes: &'a str,
    /// The one with its secrets.
    pub secrets: &'a str,
    /// The file with the names of workloads on the bridge.
    pub hosts: &'a str,
    /// The network namespace that was made for it.
    pub namespace: Option<PathBuf>,
}

/// Makes the spec of a container.
///
/// # Errors
///
/// Nobody says what to run, or as whom.
pub fn spec(
    settings: &Settings,
    image: &Execution,
    devices: &[Device],
    folders: &Folders<'_>,
) -> Result<Value, Unfit> {
    let process = process(settings, image, &command(settings, image)?)?;
    let mut namespaces = vec![
        json!({"type": "pid"}),
        json!({"type": "ipc"}),
        json!({"type": "uts"}),
        json!({"type": "mount"}),
    ];
    match (&settings.network, &folders.namespace) {
        (Network::Host, _) => {}
        (_, Some(path)) => namespaces.push(json!({"type": "network", "path": path})),
        (_, None) => namespaces.push(json!({"type": "network"})),
    }
    // In a network of its own, low ports and pings harm nobody.
    let kernel = match settings.network {
        Network::Bridge(_) => json!({
            "net.ipv4.ip_unprivileged_port_start": "0",
            "net.ipv4.ping_group_range": "0 2147483647",
        }),
        Network::Host | Network::None => json!({}),
    };
    let mut spec = json!({
        "ociVersion": "1.0.2",
        "process": process,
        "root": {"path": "rootfs", "readonly": settings.read_only_root},
        "hostname": settings.name,
        "mounts": mounts(settings, folders),
        "linux": {
            "cgroupsPath": cgroup(&settings.name),
            "namespaces": namespaces,
            "sysctl": kernel,
            "devices": devices.iter().map(node).collect::<Vec<_>>(),
            "resources": resources(settings, devices),
            "maskedPaths": MASKED,
            "readonlyPaths": READ_ONLY,
        },
    });
    if !settings.unconfined {
        spec["linux"]["seccomp"] = seccomp::filter(&settings.capabilities);
    }
    Ok(spec)
}

fn node(device: &Device) -> Value {
    let mode = if device.read_only { 0o444 } else { 0o666 };
    json!({
        "path": device.path,
        "type": if device.block { "b" } else { "c" },
        "major": device.major,
        "minor": device.minor,
        "fileMode": mode,
        "uid": 0,
        "gid": 0,
    })
}

fn resources(settings: &Settings, devices: &[Device]) -> Value {
    let mut rules = vec![json!({"allow": false, "access": "rwm"})];
    rules.extend(devices.iter().map(|device| {
        json!({
            "allow": true,
            "type": if device.block { "b" } else { "c" },
            "major": device.major,
            "minor": device.minor,
            "access": if device.read_only { "r" } else { "rw" },
        })
    }));
    let mut resources = json!({"devices": rules, "pids": {"limit": settings.pids}});
    if let Some(memory) = settings.memory {
        // Both numbers are the same: nothing is swapped out beyond the limit.
        resources["memory"] = json!({"limit": memory, "swap": memory});
    }
    if let Some(milli) = settings.processors {
        let quota = u64::from(milli) * PERIOD / 1000;
        resources["cpu"] = json!({"quota": quota.max(1000), "period": PERIOD});
    }
    resources
}

fn mounts(settings: &Settings, folders: &Folders<'_>) -> Vec<Value> {
    let kernel = |kind: &str, source: &str, target: &str, options: &[&str]| json!({"type": kind, "source": source, "destination": target, "options": options});
    let bind = |source: &str, target: &str, read_only: bool| {
        let access = if read_only { "ro" } else { "rw" };
        json!({
            "type": "bind",
            "source": source,
            "destination": target,
            "options": ["rbind", "rprivate", access, "nosuid", "nodev"],
        })
    };
    let mut list = vec![
        kernel("proc", "proc", "/proc", &["nosuid", "noexec", "nodev"]),
        kernel(
            "tmpfs",
            "tmpfs",
            "/dev",
            &["nosuid", "strictatime", "mode=755", "size=65536k"],
        ),
        kernel(
            "devpts",
            "devpts",
            "/dev/pts",
            &[
                "nosuid",
                "noexec",
                "newinstance",
                "ptmxmode=0666",
                "mode=0620",
                "gid=5",
            ],
        ),
        kernel("mqueue", "mqueue", "/dev/mqueue", &["nosuid", "noexec", "nodev"]),
        kernel("sysfs", "sysfs", "/sys", &["nosuid", "noexec", "nodev", "ro"]),
    ];
    if !settings.tmpfs.iter().any(|(target, _)| target == "/dev/shm") {
        list.push(kernel(
            "tmpfs",
            "shm",
            "/dev/shm",
            &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
        ));
    }
    let own = settings.tmpfs.iter().map(|(target, _)| target);
    let mut own = own.chain(settings.mounts.iter().map(|mount| &mount.target));
    if !own.any(|target| target == "/run") {
        list.push(kernel(
            "tmpfs",
            "run",
            "/run",
            &["nosuid", "nodev", "mode=755", "size=65536k"],
        ));
    }
    let hosts = match settings.network {
        Network::None => None,
        Network::Host => Some("/etc/hosts"),
        Network::Bridge(_) => Some(folders.hosts),
    };
    if let Some(hosts) = hosts {
        list.push(bind("/etc/resolv.conf", "/etc/resolv.conf", true));
        list.push(bind(hosts, "/etc/hosts", true));
    }
    for (target, size) in &settings.tmpfs {
        let size = format!("size={size}");
        list.push(kernel(
            "tmpfs",
            "tmpfs",
            target,
            &["nosuid", "nodev", "mode=1777", &size],
        ));
    }
    for mount in &settings.mounts {
        let source = format!("{}/{}", folders.volumes, mount.volume);
        list.push(bind(&source, &mount.target, mount.read_only));
    }
    if !settings.secrets.is_empty() {
        list.push(bind(folders.secrets, SECRETS, true));
    }
    // A folder comes before those in it.
    list.sort_by_key(|mount| {
        mount["destination"]
            .as_str()
            .map(|path| path.matches('/').count())
    });
    list
}

#[cfg(test)]
mod tests;
