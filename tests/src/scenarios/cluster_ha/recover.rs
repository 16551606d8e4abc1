//! Two of three control planes are lost with their disks, and the cluster is recovered from a snapshot.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::order::waits_for_bootstrap;
use crate::scenarios::containers::{Chance, Lab, Member};

/// Until a node says what is wrong, or that it waits.
const SAID: Duration = Duration::from_secs(180);
/// Until all is as it was.
const WHOLE: Duration = Duration::from_secs(480);

/// Loses two control planes, and recovers on the third.
pub fn from_snapshot(lab: &Lab, chance: &mut Chance) -> Result<()> {
    let planes: Vec<&Member> = lab.planes().collect();
    let left = planes[chance.below(planes.len())];
    let lost: Vec<&Member> = planes.iter().copied().filter(|plane| *plane != left).collect();
    let kubectl = lab.kubectl(left)?;
    let make = |name| kubectl.command(&["create", "configmap", name]).run();
    make("before-the-snapshot")?;
    let file = lab.stage.folder.join("recovery.db");
    lab.on(left, &["etcd", "snapshot"]).arg(&file).run()?;
    make("after-the-snapshot")?;

    for plane in &lost {
        lab.remove(plane)?;
    }
    let begun = Instant::now();
    lab.until(SAID, || {
        let status = lab.ask(left, &["status"])?;
        let said = status["health"]["reasons"].to_string();
        let named = lost.iter().all(|plane| said.contains(&plane.name));
        ensure!(said.contains("quorum") && named, "{} says {said}", left.name);
        Ok(())
    })?;
    let recover = || lab.on(left, &["bootstrap", "--recover-from"]).arg(&file);
    let refused = recover().refuse()?;
    ensure!(
        refused.contains("reset --scope data"),
        "it is refused with: {refused}"
    );
    erase(lab, left)?;
    recover().within(SAID).run()?;
    for plane in &lost {
        lab.make(plane)?;
    }
    // As the guide says: nothing goes by what it saw before.
    let worker = lab.worker()?;
    lab.kill(worker)?;
    lab.start(worker)?;
    lab.until(WHOLE, || lab.whole())
        .with_context(|| format!("{} recovered from a snapshot", left.name))?;
    let took = begun.elapsed().as_secs();

    let kubectl = lab.kubectl(left)?;
    for member in &lab.members {
        kubectl.ready(&member.name, WHOLE)?;
    }
    let kept = kubectl.command(&["get", "configmaps", "-o", "name"]).run()?;
    ensure!(kept.contains("before-the-snapshot"), "it has only {kept}");
    ensure!(!kept.contains("after-the-snapshot"), "it is no snapshot: {kept}");
    lab.stage.shown(&format!(
        "{} recovered from a snapshot after the other two were lost with their disks: all four nodes healthy {took} s after",
        left.name
    ));
    Ok(())
}

/// Erases a node's data, and switches it on again.
fn erase(lab: &Lab, plane: &Member) -> Result<()> {
    lab.on(plane, &["reset", "--scope", "data", "--yes"])
        .within(SAID)
        .run()?;
    lab.stopped(plane)?;
    lab.start(plane)?;
    lab.until(SAID, || waits_for_bootstrap(lab, plane)).map(drop)
}
