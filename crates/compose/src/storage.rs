//! Volumes, folders in memory and devices of a service.

use machine_config::v1alpha1::{Tmpfs, Workload, WorkloadDevice, WorkloadMount};
use machine_config::value::{ByteSize, ContainerPath};
use yaml::{Node, Value, join};

use super::service::memory;
use super::{Notes, values};

const TMPFS: ByteSize = ByteSize::of(64 << 20);

pub(super) fn volumes(workload: &mut Workload, node: &Node, path: &str, notes: &mut Notes<'_>) {
    let items = node.items();
    for (at, item) in notes
        .good(node, path, items)
        .unwrap_or_default()
        .iter()
        .enumerate()
    {
        let path = format!("{path}[{at}]");
        if let Value::Map(_) = item.value {
            long_volume(workload, item, &path, notes);
            continue;
        }
        let Some(text) = notes.text(item, &path) else {
            continue;
        };
        let (source, target, options) = values::volume(&text);
        let (known, others): (Vec<&str>, Vec<&str>) = options
            .into_iter()
            .partition(|option| matches!(*option, "ro" | "rw" | "z" | "Z"));
        if !others.is_empty() {
            notes.left(
                item.line,
                &path,
                format!("has options that volumes lack: {}", others.join(", ")),
            );
        }
        mount(
            workload,
            source,
            target,
            known.contains(&"ro"),
            item,
            &path,
            notes,
        );
    }
}

fn long_volume(workload: &mut Workload, node: &Node, path: &str, notes: &mut Notes<'_>) {
    let mut text = |name: &str| {
        let (_, value) = node.entry(name)?;
        notes.text(value, &join(path, name))
    };
    let (kind, source, target) = (text("type"), text("source"), text("target"));
    let Some(target) = target else {
        return notes.left(node.line, path, "has no target");
    };
    let read_only = match node.entry("read_only") {
        Some((_, value)) => notes.boolean(value, &join(path, "read_only")).unwrap_or(false),
        None => false,
    };
    for (key, _) in node.entries().unwrap_or_default() {
        let known = ["type", "source", "target", "read_only"].contains(&key.name.as_str())
            || (key.name == "tmpfs" && kind.as_deref() == Some("tmpfs"));
        if !known {
            notes.left(key.line, &join(path, &key.name), "volumes lack this option");
        }
    }
    match kind.as_deref() {
        Some("tmpfs") => {
            let size = node.entry("tmpfs").and_then(|(_, tmpfs)| tmpfs.entry("size"));
            let size = match size {
                Some((_, value)) => memory(value, &join(&join(path, "tmpfs"), "size"), notes),
                None => None,
            };
            add_tmpfs(workload, &target, size, node, path, notes);
        }
        Some("volume" | "bind") | None => {
            mount(workload, source.as_deref(), &target, read_only, node, path, notes);
        }
        Some(other) => notes.left(
            node.line,
            path,
            format!("volumes of type {other} do not exist here"),
        ),
    }
}

fn mount(
    workload: &mut Workload,
    source: Option<&str>,
    target: &str,
    read_only: bool,
    node: &Node,
    path: &str,
    notes: &mut Notes<'_>,
) {
    let source = match source {
        Some(source) if source.starts_with(['/', '.', '~']) => {
            return notes.left(
                node.line,
                path,
                format!(
                    "{source} is a path of the host, and workloads see only folders below /var/lib/workloads/volumes: name a volume"
                ),
            );
        }
        Some(source) => source.to_owned(),
        // One without a name lives as long as its container there. Here it is kept.
        None => format!("{}{}", workload.name, target),
    };
    let read = |text: &str| {
        text.parse::<ContainerPath>()
            .map_err(|error| format!("{text:?} is not {error}"))
    };
    let volume = source
        .parse()
        .map_err(|error| format!("{source:?} is not {error}"));
    let volume = notes.good(node, path, volume);
    let target = notes.good(node, path, read(target.trim_end_matches('/')));
    if let (Some(volume), Some(target)) = (volume, target) {
        workload.mounts.push(WorkloadMount {
            volume,
            target,
            read_only,
        });
    }
}

pub(super) fn tmpfs(workload: &mut Workload, node: &Node, path: &str, notes: &mut Notes<'_>) {
    for text in notes.texts(node, path) {
        let (target, options) = text.split_once(':').unwrap_or((&text, ""));
        let mut size = None;
        for option in options.split(',').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("size", text)) => size = notes.good(node, path, values::size(text)),
                _ => notes.left(
                    node.line,
                    path,
                    format!("folders in memory lack the option {option}"),
                ),
            }
        }
        add_tmpfs(workload, target, size, node, path, notes);
    }
}

pub(super) fn shm_size(workload: &mut Workload, node: &Node, path: &str, notes: &mut Notes<'_>) {
    if let Some(size) = memory(node, path, notes) {
        add_tmpfs(workload, "/dev/shm", Some(size), node, path, notes);
    }
}

fn add_tmpfs(
    workload: &mut Workload,
    target: &str,
    size: Option<ByteSize>,
    node: &Node,
    path: &str,
    notes: &mut Notes<'_>,
) {
    let parsed = target.trim_end_matches('/').parse();
    let parsed = parsed.map_err(|error| format!("{target:?} is not {error}"));
    if let Some(target) = notes.good(node, path, parsed) {
        workload.tmpfs.push(Tmpfs {
            target,
            size: size.unwrap_or(TMPFS),
        });
    }
}

pub(super) fn devices(workload: &mut Workload, node: &Node, path: &str, notes: &mut Notes<'_>) {
    let items = node.items();
    for (at, item) in notes
        .good(node, path, items)
        .unwrap_or_default()
        .iter()
        .enumerate()
    {
        let path = format!("{path}[{at}]");
        let (source, target, rights) = if let Value::Map(_) = item.value {
            let mut text = |name: &str| {
                let (_, value) = item.entry(name)?;
                notes.text(value, &join(&path, name))
            };
            (text("source"), text("target"), text("permissions"))
        } else {
            let text = notes.text(item, &path).unwrap_or_default();
            let mut parts = text.splitn(3, ':').map(str::to_owned);
            (parts.next(), parts.next(), parts.next())
        };
        let source = source.unwrap_or_default();
        let mut device = |text: &str| {
            let parsed = text.parse().map_err(|error| format!("{text:?} is not {error}"));
            notes.good(item, &path, parsed)
        };
        let path_of = device(&source);
        let target = target
            .filter(|target| *target != source)
            .and_then(|target| device(&target));
        if path_of.is_some() {
            workload.devices.push(WorkloadDevice {
                path: path_of,
                usb: None,
                target,
                read_only: rights.is_some_and(|rights| !rights.contains('w')),
            });
        }
    }
}
