//! Limits, order and health of a service.

use machine_config::v1alpha1::{RestartPolicy, Workload, WorkloadHealth};
use machine_config::value::Period;
use yaml::{Node, Value, join};

use super::Notes;
use super::service::{cpus, mem_limit, period, pids_limit};

pub(super) fn deploy(workload: &mut Workload, node: &Node, path: &str, notes: &mut Notes<'_>) {
    let entries = node.entries();
    for (key, value) in notes.good(node, path, entries).unwrap_or_default() {
        let path = join(path, &key.name);
        match key.name.as_str() {
            "resources" => {
                for (part, limits) in value.entries().unwrap_or_default() {
                    let path = join(&path, &part.name);
                    match part.name.as_str() {
                        "limits" => deploy_limits(workload, limits, &path, notes),
                        _ => notes.left(part.line, &path, "workloads reserve nothing"),
                    }
                }
            }
            "restart_policy" => {
                for (part, value) in value.entries().unwrap_or_default() {
                    let path = join(&path, &part.name);
                    match (part.name.as_str(), notes.text(value, &path).as_deref()) {
                        ("condition", Some("none")) => workload.restart_policy = RestartPolicy::Never,
                        ("condition", Some("on-failure")) => {
                            workload.restart_policy = RestartPolicy::OnFailure;
                        }
                        ("condition", Some("any")) => workload.restart_policy = RestartPolicy::Always,
                        _ => notes.left(
                            part.line,
                            &path,
                            "restarts are not counted; the pause before them grows to a minute",
                        ),
                    }
                }
            }
            _ => notes.left(key.line, &path, "a workload runs once, on one node"),
        }
    }
}

fn deploy_limits(workload: &mut Workload, node: &Node, path: &str, notes: &mut Notes<'_>) {
    for (key, value) in node.entries().unwrap_or_default() {
        let path = join(path, &key.name);
        match key.name.as_str() {
            "cpus" => cpus(workload, value, &path, notes),
            "memory" => mem_limit(workload, value, &path, notes),
            "pids" => pids_limit(workload, value, &path, notes),
            _ => notes.left(key.line, &path, "workloads have no such limit"),
        }
    }
}

pub(super) fn depends_on(workload: &mut Workload, node: &Node, path: &str, notes: &mut Notes<'_>) {
    let mut add = |notes: &mut Notes<'_>, name: &str, line: usize, path: &str| {
        let parsed = name.parse().ok().filter(|_| notes.names.contains(name));
        match parsed {
            Some(name) if workload.depends_on.contains(&name) => (),
            Some(name) => workload.depends_on.push(name),
            None => {
                let hint = yaml::did_you_mean(name, notes.names.iter().copied());
                notes.left(line, path, format!("{name} is not a service of the file{hint}"));
            }
        }
    };
    let Value::Map(entries) = &node.value else {
        for name in notes.texts(node, path) {
            add(notes, &name, node.line, path);
        }
        return;
    };
    for (key, value) in entries {
        let path = join(path, &key.name);
        add(notes, &key.name, key.line, &path);
        for (part, how) in value.entries().unwrap_or_default() {
            let path = join(&path, &part.name);
            match (part.name.as_str(), notes.text(how, &path).as_deref()) {
                ("condition", Some("service_healthy" | "service_started")) | ("required", Some("true")) => (),
                ("condition", Some("service_completed_successfully")) => notes.left(
                    part.line,
                    &path,
                    "a workload waits until another one is healthy, never for its end",
                ),
                _ => notes.left(
                    part.line,
                    &path,
                    "a workload always waits until the other one is healthy",
                ),
            }
        }
    }
}

pub(super) fn healthcheck(workload: &mut Workload, node: &Node, path: &str, notes: &mut Notes<'_>) {
    let mut check = WorkloadHealth {
        command: vec![],
        http: None,
        tcp: None,
        // Those of Compose.
        interval: Period::seconds(30),
        timeout: Period::seconds(30),
        retries: 3,
    };
    let mut off = false;
    let entries = node.entries();
    for (key, value) in notes.good(node, path, entries).unwrap_or_default() {
        let path = join(path, &key.name);
        match key.name.as_str() {
            "test" => {
                let shell = |text: String| vec!["/bin/sh".to_owned(), "-c".to_owned(), text];
                let words = notes.texts(value, &path);
                check.command = match (&value.value, words.split_first()) {
                    (Value::List(_), Some((first, rest))) => match first.as_str() {
                        "NONE" => {
                            off = true;
                            vec![]
                        }
                        "CMD" => rest.to_vec(),
                        "CMD-SHELL" => shell(rest.join(" ")),
                        _ => {
                            notes.left(value.line, &path, "must begin with NONE, CMD or CMD-SHELL");
                            vec![]
                        }
                    },
                    (_, Some((text, _))) => shell(text.clone()),
                    (_, None) => vec![],
                };
            }
            "disable" => off = notes.boolean(value, &path).unwrap_or(false),
            "interval" => check.interval = period(value, &path, notes).unwrap_or(check.interval),
            "timeout" => check.timeout = period(value, &path, notes).unwrap_or(check.timeout),
            "retries" => {
                let number = value.number(1, 100);
                check.retries = notes.good(value, &path, number).unwrap_or(check.retries);
            }
            "start_period" | "start_interval" => notes.left(
                key.line,
                &path,
                "checks count from the start; a new image has `trialPeriod` to get healthy",
            ),
            _ => notes.left(key.line, &path, "is not a key of health checks"),
        }
    }
    if !off && !check.command.is_empty() {
        workload.health_check = Some(check);
    } else if !off {
        notes.left(
            node.line,
            path,
            "the check of the image is not known here: name it in `test`",
        );
    }
}
