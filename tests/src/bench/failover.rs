//! How long a cluster does without a control plane that is lost, and how soon a node is part of it.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Row, row, seconds};
use crate::scenario::Stage;
use crate::scenarios::cluster_ha::order;
use crate::scenarios::containers::{self, Lab, Member, Watch};
use crate::workshop::Workshop;

const UP: Duration = Duration::from_secs(180);
const READY: Duration = Duration::from_secs(420);
/// Before and after the loss: until leases are taken over.
const REST: Duration = Duration::from_secs(30);

/// Makes a cluster node by node, and takes the power from the control plane that has the virtual address.
pub fn measure(workshop: &Workshop) -> Result<Vec<Row>> {
    if let Some(why) = containers::missing() {
        return Ok(vec![row(
            "a cluster of three control planes",
            "-".to_owned(),
            &why,
        )]);
    }
    let stage = Stage::for_bench(workshop, workshop.folder().join("failover"))?;
    let lab = Lab::new(&stage, 3, 1)?;
    let planes: Vec<&Member> = lab.planes().collect();
    lab.make(planes[0])?;
    lab.until(UP, || order::waits_for_bootstrap(&lab, planes[0]))?;
    let begun = Instant::now();
    lab.on(planes[0], &["bootstrap"]).run()?;
    lab.until(READY, || lab.is_healthy(planes[0]))?;
    let kubectl = lab.kubectl(planes[0])?;
    kubectl.ready(&planes[0].name, READY)?;
    let mut rows = vec![row(
        "cluster: bootstrap to Ready, first control plane",
        seconds(begun.elapsed()),
        "containers",
    )];
    for (what, member) in [
        ("worker", lab.worker()?),
        ("second control plane", planes[1]),
        ("third control plane", planes[2]),
    ] {
        let started = Instant::now();
        lab.make(member)?;
        kubectl.ready(&member.name, READY)?;
        lab.until(READY, || lab.is_healthy(member))?;
        rows.push(row(
            &format!("cluster: start to joined and Ready, {what}"),
            seconds(started.elapsed()),
            "",
        ));
    }

    let watch = Watch::start(&lab, &kubectl, lab.worker()?)?;
    thread::sleep(REST);
    let mut holder = planes[0];
    for plane in &planes {
        if lab.ask(plane, &["get", "VirtualIpStatus"])?[0]["value"]["here"] == true {
            holder = plane;
        }
    }
    watch.begin();
    lab.kill(holder)?;
    thread::sleep(REST);
    for (by, longest) in watch.longest() {
        rows.push(row(
            &format!("cluster: no answer of the API by {by}, its control plane killed"),
            seconds(longest),
            "longest time between two answers, asked every 0.1 s",
        ));
    }
    Ok(rows)
}
