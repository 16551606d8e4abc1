//! What a Compose file says outside of services, and what services say that workloads cannot: tables of reasons.

use yaml::{Node, join};

use super::Notes;

/// Keys of a file besides `services`, with the reason why they do not fit; none where nothing is lost.
const TOP: [(&str, Option<&str>); 7] = [
    ("name", None),
    ("version", None),
    (
        "networks",
        Some("all workloads are on one bridge, and reach each other by the names of their services"),
    ),
    (
        "secrets",
        Some(
            "add each secret with its text to `secrets` of the workload: the client does not read it from elsewhere",
        ),
    ),
    (
        "configs",
        Some("put the file into a volume, or its content into the image"),
    ),
    (
        "include",
        Some("one file is translated at a time; `docker compose config` joins them"),
    ),
    ("models", Some("workloads have no such thing")),
];

/// Keys of a service that have no translation, with the reason; none where nothing is lost.
const SERVICE: [(&str, Option<&str>); 64] = [
    ("annotations", Some(NO_LABELS)),
    ("attach", None),
    (
        "blkio_config",
        Some("workloads have no limit of input and output"),
    ),
    (
        "build",
        Some("a node builds no images: build it elsewhere, and name it in `image`"),
    ),
    ("cgroup", Some(KERNEL)),
    ("cgroup_parent", Some(KERNEL)),
    (
        "configs",
        Some("put the file into a volume, or its content into the image"),
    ),
    ("container_name", Some("a workload is called as its service")),
    ("cpu_count", Some(CPUS)),
    ("cpu_percent", Some(CPUS)),
    ("cpu_period", Some(CPUS)),
    ("cpu_quota", Some(CPUS)),
    ("cpu_rt_period", Some(CPUS)),
    ("cpu_rt_runtime", Some(CPUS)),
    ("cpu_shares", Some(CPUS)),
    ("cpuset", Some(CPUS)),
    ("credential_spec", Some("it is of Windows")),
    ("develop", None),
    (
        "device_cgroup_rules",
        Some("name each device in `devices`; a USB device can be named by vendor and product (`usb`)"),
    ),
    ("dns", Some(NETWORK)),
    ("dns_opt", Some(NETWORK)),
    ("dns_search", Some(NETWORK)),
    ("domainname", Some(NETWORK)),
    (
        "env_file",
        Some(
            "its variables belong in `environment` of the workload; `docker compose config` puts them there",
        ),
    ),
    ("expose", None),
    (
        "extends",
        Some("`docker compose config` fills in what a service extends"),
    ),
    (
        "external_links",
        Some("workloads reach each other by the names of their services"),
    ),
    ("extra_hosts", Some(NETWORK)),
    ("gpus", Some("name the GPU's devices in `devices`")),
    ("group_add", Some("`user` has one group")),
    ("hostname", Some(NETWORK)),
    (
        "init",
        Some("workloads have no init of their own: use an image that has one, such as tini"),
    ),
    ("ipc", Some(KERNEL)),
    ("isolation", Some("it is of Windows")),
    ("label_file", Some(NO_LABELS)),
    ("labels", Some(NO_LABELS)),
    (
        "links",
        Some("workloads reach each other by the names of their services; use `depends_on` for the order"),
    ),
    ("mac_address", Some(NETWORK)),
    ("mem_reservation", Some("workloads reserve nothing")),
    ("mem_swappiness", Some("a node has no swap")),
    ("memswap_limit", Some("a node has no swap")),
    (
        "networks",
        Some("all workloads are on one bridge, and reach each other by the names of their services"),
    ),
    ("oom_kill_disable", Some(KERNEL)),
    ("oom_score_adj", Some(KERNEL)),
    ("pid", Some(KERNEL)),
    ("platform", Some("the image must be for the board's architecture")),
    ("post_start", Some("workloads have no hooks")),
    ("pre_stop", Some("workloads have no hooks")),
    (
        "privileged",
        Some("no workload is privileged: name what it needs in `devices` and `capabilities`"),
    ),
    (
        "profiles",
        Some("all services of the file are translated; delete those that the board is not to run"),
    ),
    ("provider", Some("workloads are containers")),
    (
        "pull_policy",
        Some("an image is pulled once; a digest says which one"),
    ),
    ("runtime", Some("there is one runtime, runc")),
    (
        "scale",
        Some("a workload runs once; write another one for each further copy"),
    ),
    (
        "secrets",
        Some(
            "add each secret with its text to `secrets` of the workload: the client does not read it from elsewhere",
        ),
    ),
    ("stdin_open", Some("workloads have no terminal")),
    (
        "storage_opt",
        Some("the root file system has no limit of its own; it is read-only unless told otherwise"),
    ),
    ("sysctls", Some("set them for the node, in `machine.sysctls`")),
    ("tty", Some("workloads have no terminal")),
    (
        "ulimits",
        Some("workloads have the limits of the node; `resources.pids` limits processes"),
    ),
    ("use_api_socket", Some("a node has no Docker")),
    ("userns_mode", Some(KERNEL)),
    ("uts", Some(KERNEL)),
    ("volumes_from", Some("name the same volume in both services")),
];

const KERNEL: &str = "workloads are separated from the node in one way, which cannot be changed";
const NETWORK: &str =
    "a workload has the node's name servers and no other names: set them for the node, in `machine.network`";
const CPUS: &str = "limit processors with `cpus`";
const NO_LABELS: &str = "workloads have no labels";

/// Notes what a file says outside of its services.
pub(super) fn top(root: &Node, notes: &mut Notes<'_>) {
    for (key, node) in root.entries().unwrap_or_default() {
        let name = key.name.as_str();
        let known = TOP.iter().find(|(known, _)| *known == name);
        match known {
            Some((_, Some(reason))) => notes.left(key.line, name, *reason),
            Some((_, None)) => (),
            None if name == "services" || name.starts_with("x-") => (),
            None if name == "volumes" => volumes(node, notes),
            None => {
                let names = TOP.iter().map(|(name, _)| *name).chain(["services", "volumes"]);
                let hint = yaml::did_you_mean(name, names);
                notes.left(key.line, name, format!("is not a key of Compose files{hint}"));
            }
        }
    }
}

/// Notes what volumes are to be other than folders.
fn volumes(node: &Node, notes: &mut Notes<'_>) {
    for (key, volume) in node.entries().unwrap_or_default() {
        for (inner, _) in volume.entries().unwrap_or_default() {
            if !inner.name.starts_with("x-") {
                notes.left(
                    inner.line,
                    &join(&join("volumes", &key.name), &inner.name),
                    format!(
                        "a volume is a folder on DATA: /var/lib/workloads/volumes/{}",
                        key.name
                    ),
                );
            }
        }
    }
}

/// Notes a key of a service that has no translation.
pub(super) fn service(name: &str, line: usize, path: &str, translated: &[&str], notes: &mut Notes<'_>) {
    let known = SERVICE.iter().find(|(known, _)| *known == name);
    match known {
        Some((_, Some(reason))) => notes.left(line, path, *reason),
        Some((_, None)) => (),
        None if name.starts_with("x-") => (),
        None => {
            let names = SERVICE.iter().map(|(name, _)| *name);
            let hint = yaml::did_you_mean(name, names.chain(translated.iter().copied()));
            notes.left(line, path, format!("is not a key of services{hint}"));
        }
    }
}

/// Returns true if no key is in both tables.
#[cfg(test)]
pub(super) fn is_disjoint(translated: &[&str]) -> bool {
    SERVICE.iter().all(|(name, _)| !translated.contains(name))
}
