//! Nodes start in any order, and any control plane begins the cluster.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::scenarios::containers::{Chance, Lab, Member};

/// Until a node without a cluster answers.
const UP: Duration = Duration::from_secs(120);
/// Until all have joined.
const JOINED: Duration = Duration::from_secs(420);
/// The longest pause between two starts.
const PAUSE: Duration = Duration::from_secs(5);

/// Starts all nodes, begins the cluster somewhere, and waits until all are part of it.
pub fn join(lab: &Lab, chance: &mut Chance) -> Result<()> {
    let order = chance.order(lab.members.len());
    let first = chance.below(lab.planes().count());
    let first = &lab.members[first];
    // The one that begins is not always there first, nor are the others.
    let early = chance.below(order.len()) + 1;
    let mut started = Vec::new();
    for number in &order[..early] {
        begin(lab, chance, &lab.members[*number], &mut started)?;
    }
    if !started.iter().any(|(member, _)| *member == first) {
        begin(lab, chance, first, &mut started)?;
    }
    lab.until(UP, || waits_for_bootstrap(lab, first))?;
    lab.on(first, &["bootstrap"]).run()?;
    let begun = Instant::now();
    for number in &order[early..] {
        let member = &lab.members[*number];
        if member != first {
            begin(lab, chance, member, &mut started)?;
        }
    }
    let names: Vec<&str> = started.iter().map(|(member, _)| member.name.as_str()).collect();
    lab.stage.shown(&format!(
        "started in this order: {}; {} of them before the bootstrap on {}",
        names.join(", "),
        early,
        first.name
    ));
    let mut waiting: Vec<&(&Member, Instant)> = started.iter().collect();
    lab.until(JOINED, || {
        let mut problems = Vec::new();
        waiting.retain(|(member, start)| match lab.is_healthy(member) {
            Ok(()) => {
                let since = begun.max(*start).elapsed().as_secs_f64();
                lab.stage.shown(&format!(
                    "{} was healthy {since:.0} s after it could be",
                    member.name
                ));
                false
            }
            Err(problem) => {
                problems.push(format!("{problem:#}"));
                true
            }
        });
        ensure!(problems.is_empty(), "{}", problems.join("; "));
        Ok(())
    })?;
    lab.until(JOINED, || lab.whole())?;
    let kubectl = lab.kubectl(first)?;
    for member in &lab.members {
        kubectl.ready(&member.name, JOINED)?;
    }
    lab.stage.shown(&format!(
        "{} nodes are Ready and {} vote {:.0} s after the bootstrap",
        lab.members.len(),
        lab.planes().count(),
        begun.elapsed().as_secs_f64()
    ));
    Ok(())
}

fn begin<'a>(
    lab: &Lab,
    chance: &mut Chance,
    member: &'a Member,
    started: &mut Vec<(&'a Member, Instant)>,
) -> Result<()> {
    lab.make(member)?;
    started.push((member, Instant::now()));
    thread::sleep(chance.between(Duration::ZERO, PAUSE));
    Ok(())
}

/// Checks that a control plane asks for the bootstrap.
pub fn waits_for_bootstrap(lab: &Lab, member: &Member) -> Result<()> {
    let status = lab.ask(member, &["status"])?;
    let waits_for = status["kubernetes"]["waitsFor"].as_str().unwrap_or_default();
    ensure!(
        waits_for.contains("bedplate bootstrap"),
        "{} waits for {waits_for:?}",
        member.name
    );
    Ok(())
}
