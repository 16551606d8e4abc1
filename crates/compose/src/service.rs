//! Translates one service: the table of keys, and what each becomes.

use machine_config::v1alpha1::{
    NetworkMode, RestartPolicy, Seccomp, StopSignal, Workload, WorkloadImage, WorkloadLogs, WorkloadNetwork,
    WorkloadResources,
};
use machine_config::value::{ByteSize, ImageReference, Name, Period, VariableName};
use yaml::{Node, Value, join};

use super::{Notes, limits, network, others, running, storage, values, words};

/// What becomes of a key: it changes the workload, or notes why it cannot.
type Key = fn(&mut Workload, &Node, &str, &mut Notes<'_>);

/// The keys of a service that have a translation.
const KEYS: [(&str, Key); 26] = [
    ("cap_add", cap_add),
    ("cap_drop", |_, _, _, _| ()),
    ("command", command),
    ("cpus", cpus),
    ("depends_on", running::depends_on),
    ("deploy", running::deploy),
    ("devices", storage::devices),
    ("entrypoint", entrypoint),
    ("environment", environment),
    ("healthcheck", running::healthcheck),
    ("image", |_, _, _, _| ()),
    ("logging", limits::logging),
    ("mem_limit", mem_limit),
    ("network_mode", network::mode),
    ("pids_limit", pids_limit),
    ("ports", network::ports),
    ("read_only", read_only),
    ("restart", restart),
    ("security_opt", limits::security_opt),
    ("shm_size", storage::shm_size),
    ("stop_grace_period", stop_grace_period),
    ("stop_signal", stop_signal),
    ("tmpfs", storage::tmpfs),
    ("user", user),
    ("volumes", storage::volumes),
    ("working_dir", working_dir),
];

/// Lists the keys that have a translation.
pub(super) fn names() -> Vec<&'static str> {
    KEYS.iter().map(|(name, _)| *name).collect()
}

/// Translates a service; none if it names no image.
pub(super) fn translate(name: Name, node: &Node, path: &str, notes: &mut Notes<'_>) -> Option<Workload> {
    let entries = node.entries();
    let entries = notes.good(node, path, entries)?;
    let image: Option<ImageReference> = match node.entry("image") {
        Some((_, image)) => notes.parsed(image, &join(path, "image")),
        None => {
            notes.left(node.line, path, "names no image; the service is left out");
            None
        }
    };
    let image = match notes.options.bundled {
        true => WorkloadImage {
            reference: None,
            file: None,
            bundled: image.clone(),
        },
        false => WorkloadImage {
            reference: image.clone(),
            file: None,
            bundled: None,
        },
    };
    let mut workload = start(name, image);
    for (key, value) in entries {
        let inner = join(path, &key.name);
        match KEYS.iter().find(|(known, _)| *known == key.name) {
            Some((_, translate)) if !value.is_null() => translate(&mut workload, value, &inner, notes),
            Some(_) => (),
            None => {
                others::service(&key.name, key.line, &inner, &names(), notes);
            }
        }
    }
    network::settle(&mut workload, node, path, notes);
    let named = workload.image.reference.is_some() || workload.image.bundled.is_some();
    named.then_some(workload)
}

/// Returns what a service is that says nothing: by the defaults of Compose, as far as workloads have them.
fn start(name: Name, image: WorkloadImage) -> Workload {
    Workload {
        name,
        image,
        command: vec![],
        args: vec![],
        working_dir: None,
        environment: Default::default(),
        secrets: vec![],
        mounts: vec![],
        tmpfs: vec![],
        devices: vec![],
        network: WorkloadNetwork {
            mode: NetworkMode::Bridge,
            ports: vec![],
        },
        resources: WorkloadResources::default(),
        user: None,
        capabilities: vec![],
        seccomp: Seccomp::Default,
        read_only_root_filesystem: false,
        restart_policy: RestartPolicy::Never,
        health_check: None,
        stop_signal: None,
        stop_grace_period: Period::seconds(10),
        depends_on: vec![],
        logs: WorkloadLogs::default(),
        trial_period: Period::seconds(300),
    }
}

/// Reads a command line: a list of words, or a text that is split as a shell would.
fn line(node: &Node, path: &str, notes: &mut Notes<'_>) -> Vec<String> {
    match &node.value {
        Value::List(_) => notes.texts(node, path),
        _ => {
            let text = notes.text(node, path);
            let words = text.map(|text| words::split(&text));
            words
                .and_then(|words| notes.good(node, path, words))
                .unwrap_or_default()
        }
    }
}

fn command(workload: &mut Workload, node: &Node, path: &str, notes: &mut Notes<'_>) {
    workload.args = line(node, path, notes);
}

fn entrypoint(workload: &mut Workload, node: &Node, path: &str, notes: &mut Notes<'_>) {
    workload.command = line(node, path, notes);
    if workload.command.is_empty() {
        notes.left(
            node.line,
            path,
            "an image's entrypoint cannot be taken away; name the program in `command`",
        );
    }
}

fn working_dir(workload: &mut Workload, node: &Node, path: &str, notes: &mut Notes<'_>) {
    workload.working_dir = notes.parsed(node, path);
}

fn user(workload: &mut Workload, node: &Node, path: &str, notes: &mut Notes<'_>) {
    workload.user = notes.parsed(node, path);
}

fn environment(workload: &mut Workload, node: &Node, path: &str, notes: &mut Notes<'_>) {
    let mut add = |notes: &mut Notes<'_>, name: &str, value: Option<String>, node: &Node, path: &str| {
        let name = name.parse::<VariableName>();
        let name = name.map_err(|error| format!("is not {error}"));
        let name = notes.good(node, path, name);
        match (name, value) {
            (Some(name), Some(value)) => drop(workload.environment.insert(name, value)),
            (Some(_), None) => notes.left(
                node.line,
                path,
                "has no value here, and a node has no environment to take it from",
            ),
            (None, _) => (),
        }
    };
    match &node.value {
        Value::Map(entries) => {
            for (key, value) in entries {
                let path = join(path, &key.name);
                match value.is_null() {
                    true => add(notes, &key.name, None, value, &path),
                    false => {
                        if let Some(text) = notes.text(value, &path) {
                            add(notes, &key.name, Some(text), value, &path);
                        }
                    }
                }
            }
        }
        Value::List(items) => {
            for (at, item) in items.iter().enumerate() {
                let path = format!("{path}[{at}]");
                if let Some(text) = notes.text(item, &path) {
                    let (name, value) = text
                        .split_once('=')
                        .map_or((text.as_str(), None), |(name, value)| (name, Some(value)));
                    add(notes, name, value.map(str::to_owned), item, &path);
                }
            }
        }
        Value::Scalar(_) => notes.left(node.line, path, node.expected("a map or a list")),
    }
}

fn cap_add(workload: &mut Workload, node: &Node, path: &str, notes: &mut Notes<'_>) {
    for name in notes.texts(node, path) {
        let upper = name.to_ascii_uppercase();
        let plain = upper.strip_prefix("CAP_").unwrap_or(&upper).to_owned();
        if plain == "ALL" {
            notes.left(
                node.line,
                path,
                "all capabilities at once are not given: name those that it needs",
            );
        } else if !workload.capabilities.contains(&plain) {
            workload.capabilities.push(plain);
        }
    }
}

fn read_only(workload: &mut Workload, node: &Node, path: &str, notes: &mut Notes<'_>) {
    workload.read_only_root_filesystem = notes.boolean(node, path).unwrap_or(true);
}

fn restart(workload: &mut Workload, node: &Node, path: &str, notes: &mut Notes<'_>) {
    let Some(text) = notes.text(node, path) else {
        return;
    };
    let (policy, times) = text.split_once(':').unwrap_or((&text, ""));
    workload.restart_policy = match policy {
        // A plain `no` is a truth value of older YAML.
        "no" | "false" => RestartPolicy::Never,
        "always" | "unless-stopped" => RestartPolicy::Always,
        "on-failure" => RestartPolicy::OnFailure,
        other => return notes.left(node.line, path, format!("{other:?} is not a restart policy")),
    };
    if !times.is_empty() {
        notes.left(
            node.line,
            path,
            "restarts are not counted; the pause before them grows to a minute",
        );
    }
}

fn stop_signal(workload: &mut Workload, node: &Node, path: &str, notes: &mut Notes<'_>) {
    let Some(text) = notes.text(node, path) else {
        return;
    };
    let upper = text.to_ascii_uppercase();
    let known = StopSignal::ALL
        .iter()
        .find(|(name, _)| *name == upper || name.strip_prefix("SIG") == Some(upper.as_str()));
    match known {
        Some((_, signal)) => workload.stop_signal = Some(*signal),
        None => {
            let names: Vec<&str> = StopSignal::ALL.iter().map(|(name, _)| *name).collect();
            let names = names.join(", ");
            notes.left(node.line, path, format!("{text:?} is not one of {names}"));
        }
    }
}

pub(super) fn period(node: &Node, path: &str, notes: &mut Notes<'_>) -> Option<Period> {
    let text = notes.text(node, path)?;
    notes.good(node, path, values::period(&text))
}

pub(super) fn memory(node: &Node, path: &str, notes: &mut Notes<'_>) -> Option<ByteSize> {
    let text = notes.text(node, path)?;
    notes.good(node, path, values::size(&text))
}

fn stop_grace_period(workload: &mut Workload, node: &Node, path: &str, notes: &mut Notes<'_>) {
    if let Some(period) = period(node, path, notes) {
        workload.stop_grace_period = period;
    }
}

pub(super) fn mem_limit(workload: &mut Workload, node: &Node, path: &str, notes: &mut Notes<'_>) {
    workload.resources.memory = memory(node, path, notes);
}

pub(super) fn cpus(workload: &mut Workload, node: &Node, path: &str, notes: &mut Notes<'_>) {
    let Some(text) = notes.text(node, path) else {
        return;
    };
    let milli = values::processors(&text);
    let milli = notes.good(node, path, milli);
    workload.resources.cpu = milli.and_then(|milli| milli.parse().ok());
}

pub(super) fn pids_limit(workload: &mut Workload, node: &Node, path: &str, notes: &mut Notes<'_>) {
    let number = node.number(1, 1 << 16);
    if let Some(number) = notes.good(node, path, number) {
        workload.resources.pids = number;
    }
}
