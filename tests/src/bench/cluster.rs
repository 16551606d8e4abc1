//! What a cluster takes: the time that it needs to be there, memory by process, and what wears a disk.

use std::collections::BTreeMap;
use std::fs;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::processes::{self, Taken};
use super::upstream::Upstream;
use super::{Row, megabytes, row, seconds};
use crate::kubernetes_programs as programs;
use crate::local_cluster::LocalCluster;
use crate::tools::Tool;
use crate::workshop::Workshop;

const NAME: &str = "bench";
const CONTROL_PLANE: &str = "bedplate-bench-control-plane-1";
const WORKER: &str = "bedplate-bench-worker-1";
/// What is compared: the two programs that write.
const WRITERS: [&str; 2] = ["etcd", "kube-apiserver"];
/// After the last node is Ready, for memory and disk to come to rest.
const REST: Duration = Duration::from_secs(90);
/// How long writes are counted.
const IDLE: Duration = Duration::from_secs(300);

/// Makes a cluster of one control plane and one worker, and lets it rest beside one as upstream has it.
pub fn measure(workshop: &Workshop) -> Result<Vec<Row>> {
    let Some(found) = programs::find() else {
        let why = programs::missing().unwrap_or_default();
        return Ok(vec![row("a cluster", "-".to_owned(), &why)]);
    };
    let folder = workshop.folder().join("cluster");
    fs::create_dir_all(&folder)?;
    let unpacked = programs::unpack(&folder)?;
    let cluster = LocalCluster::new(&folder, NAME)?;
    let begun = Instant::now();
    let create = cluster.create(1, 1)?.arg("--kubernetes").arg(found);
    create.args(["--output", "json"]).run()?;
    let took = begun.elapsed();
    let kubectl = Tool::new(unpacked.join("kubectl"))
        .arg("--kubeconfig")
        .arg(cluster.kubeconfig());
    kubectl
        .clone()
        .args(["wait", "--for=condition=Ready", "node", "--all", "--timeout=300s"])
        .within(Duration::from_secs(310))
        .run()?;
    let bootstrapped = bootstrapped(&cluster)?;
    let nodes: Value = serde_json::from_str(&kubectl.args(["get", "nodes", "--output", "json"]).run()?)?;
    let mut rows = vec![row(
        "cluster: the command, with building the image, to healthy nodes",
        seconds(took),
        "containers; one control plane and one worker",
    )];
    for node in nodes["items"].as_array().into_iter().flatten() {
        let name = node["metadata"]["name"].as_str().unwrap_or_default();
        rows.push(row(
            &format!("cluster: bootstrap to Ready, {name}"),
            seconds(ready_at(node)?.saturating_sub(bootstrapped)),
            "whole seconds, as Kubernetes says",
        ));
    }

    let upstream = Upstream::start(&unpacked, &folder.join("upstream"))?;
    thread::sleep(REST);
    let (before, theirs) = (processes::of_container(CONTROL_PLANE)?, upstream.written());
    thread::sleep(IDLE);
    let (after, theirs_after) = (processes::of_container(CONTROL_PLANE)?, upstream.written());
    let worker = processes::of_container(WORKER)?;
    rows.extend(memory(
        "control plane",
        &after,
        "goal: 450 MB; Talos on a Pi 4: 570 MB; ",
    ));
    rows.extend(memory("worker", &worker, ""));
    let written = |taken: &BTreeMap<String, Taken>| -> u64 {
        let of = |name| taken.get(name).map_or(0, |taken: &Taken| taken.written);
        WRITERS.into_iter().map(of).sum()
    };
    let (ours, upstream) = (
        written(&after).saturating_sub(written(&before)),
        theirs_after.saturating_sub(theirs),
    );
    rows.push(row(
        "cluster: etcd and API server of an idle control plane write, per hour",
        megabytes(per_hour(ours)),
        &format!(
            "{:.2} of theirs: {} as they come, without a node, at the same time; goal: 0.5",
            ours as f64 / upstream.max(1) as f64,
            megabytes(per_hour(upstream))
        ),
    ));
    Ok(rows)
}

/// Returns when etcd was started, since the epoch: it is what a bootstrap starts.
fn bootstrapped(cluster: &LocalCluster) -> Result<Duration> {
    let ask = cluster
        .bedplate()
        .args(["--output", "json", "--nodes", &cluster.first()?, "processes"]);
    let printed: Value = serde_json::from_str(&ask.run()?)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let all = printed["processes"].as_array().into_iter().flatten();
    let etcd = all.into_iter().find(|process| process["name"] == "etcd");
    let age = etcd
        .and_then(|etcd| etcd["ageMs"].as_u64())
        .context("etcd does not run")?;
    Ok(now.saturating_sub(Duration::from_millis(age)))
}

/// Returns when a node became Ready, since the epoch.
fn ready_at(node: &Value) -> Result<Duration> {
    let conditions = node["status"]["conditions"].as_array();
    let ready = conditions
        .into_iter()
        .flatten()
        .find(|condition| condition["type"] == "Ready");
    let time = ready
        .and_then(|ready| ready["lastTransitionTime"].as_str())
        .context("a node was never Ready")?;
    let seconds = Tool::new("date").args(["--utc", "--date", time, "+%s"]).run()?;
    Ok(Duration::from_secs(seconds.trim().parse()?))
}

fn memory(what: &str, taken: &BTreeMap<String, Taken>, goal: &str) -> Vec<Row> {
    let total: u64 = taken.values().map(|taken| taken.memory).sum();
    let files: u64 = taken.values().map(|taken| taken.files).sum();
    let beside = format!("{goal}and {} of files, which can be dropped", megabytes(files));
    let mut rows = vec![row(
        &format!("cluster: memory of a {what}"),
        megabytes(total),
        &beside,
    )];
    let mut programs: Vec<_> = taken.iter().collect();
    programs.sort_by_key(|(_, taken)| std::cmp::Reverse(taken.memory));
    rows.extend(
        programs
            .into_iter()
            .map(|(program, taken)| row(&format!("  {program}"), megabytes(taken.memory), "")),
    );
    rows
}

fn per_hour(bytes: u64) -> u64 {
    bytes * 3600 / IDLE.as_secs()
}
