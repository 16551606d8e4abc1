//! The power of nodes is cut at random moments while the cluster begins, while nodes join, while snapshots are taken, and
//! while its authorities are replaced. It goes on by itself.

use std::fs;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::cluster_ha::order::waits_for_bootstrap;
use super::containers::{Chance, Etcdctl, Lab, Member, Writers};
use crate::scenario::Stage;
use crate::tools::Tool;

/// Programs of this machine that it needs.
pub const TOOLS: &[&str] = &["etcdctl"];
/// Cuts while the cluster begins.
const BEGINNING: usize = 3;
/// Cuts while others join.
const JOINING: usize = 6;
/// Cuts while a snapshot is taken.
const SNAPSHOTS: usize = 3;
/// Cuts while authorities are replaced, and the longest pause between two.
const ROTATING: usize = 4;
const SPREAD: Duration = Duration::from_secs(30);
/// How often the command may be run again.
const TRIES: usize = 6;
/// Restarting the components of all nodes, one after the other.
const ROTATION: Duration = Duration::from_secs(30 * 60);
/// The latest moment of a cut.
const LATEST: Duration = Duration::from_secs(12);
/// A snapshot of a young cluster takes no longer.
const SNAPSHOT: Duration = Duration::from_millis(300);
/// How long a node is off.
const OFF: Duration = Duration::from_secs(3);
const UP: Duration = Duration::from_secs(120);
/// Until all is as it should be.
const WHOLE: Duration = Duration::from_secs(480);

/// Cuts the power of the nodes of a cluster.
pub fn run(stage: &Stage) -> Result<()> {
    let mut chance = Chance::new(stage)?;
    let lab = Lab::new(stage, 3, 1)?;
    let outcome = cuts(&lab, &mut chance);
    chance.again(outcome)
}

fn cuts(lab: &Lab, chance: &mut Chance) -> Result<()> {
    let planes: Vec<&Member> = lab.planes().collect();
    let first = planes[chance.below(planes.len())];
    bootstrap(lab, chance, first)?;
    let etcd = lab.until_some(WHOLE, || {
        let etcd = Etcdctl::of(lab, first)?;
        etcd.revision(first)?;
        Ok(etcd)
    })?;
    let writers = Writers::start(lab, &etcd);
    join(lab, chance, first)?;
    snapshots(lab, chance, &planes)?;
    let count = writers.verify(lab)?;
    lab.stage.shown(&format!(
        "all {} writes that were acknowledged meanwhile are there on every member",
        count.acknowledged
    ));
    // What the writers show is not accepted any more after this.
    rotation(lab, chance)
}

/// Cuts the power of the node that begins the cluster.
fn bootstrap(lab: &Lab, chance: &mut Chance, first: &Member) -> Result<()> {
    lab.make(first)?;
    lab.until(UP, || waits_for_bootstrap(lab, first))?;
    lab.on(first, &["bootstrap"]).run()?;
    let mut moments = Vec::new();
    for _ in 0..BEGINNING {
        moments.push(cut(lab, chance, first)?);
    }
    let took = lab
        .until(WHOLE, || {
            ensure!(lab.voters(first)?.len() == 1, "it is no member yet");
            lab.is_healthy(first)
        })
        .context("the bootstrap was cut off")?;
    lab.stage.shown(&format!(
        "the bootstrap went on by itself after cuts at {}; healthy {} s after the last",
        moments.join(", "),
        took.as_secs()
    ));
    Ok(())
}

/// Cuts the power of any node while the others join.
fn join(lab: &Lab, chance: &mut Chance, first: &Member) -> Result<()> {
    for member in lab.members.iter().filter(|member| *member != first) {
        lab.make(member)?;
    }
    let mut victims = Vec::new();
    for _ in 0..JOINING {
        let victim = &lab.members[chance.below(lab.members.len())];
        let moment = cut(lab, chance, victim)?;
        victims.push(format!("{} after {moment}", victim.name));
    }
    let took = lab
        .until(WHOLE, || lab.whole())
        .with_context(|| format!("cut while they joined: {}", victims.join(", ")))?;
    lab.stage.shown(&format!(
        "all joined, though the power was cut of {}; healthy {} s after the last",
        victims.join(", "),
        took.as_secs()
    ));
    Ok(())
}

/// Cuts the power of a control plane that sends a snapshot.
fn snapshots(lab: &Lab, chance: &mut Chance, planes: &[&Member]) -> Result<()> {
    let file = lab.stage.folder.join("snapshot.db");
    let mut broken = 0;
    for _ in 0..SNAPSHOTS {
        let asked = planes[chance.below(planes.len())];
        let moment = chance.between(Duration::ZERO, SNAPSHOT);
        let _none = fs::remove_file(&file);
        let ended = thread::scope(|scope| {
            let taken = scope.spawn(|| lab.on(asked, &["etcd", "snapshot"]).arg(&file).end());
            thread::sleep(moment);
            let killed = lab.kill(asked);
            killed.map(|()| taken.join())
        })?;
        let ended = ended.ok().context("the client failed")??;
        if ended.success {
            sound(&file)?;
        } else {
            broken += 1;
            ensure!(
                !file.exists(),
                "a snapshot that failed left a file: {}",
                ended.stderr
            );
        }
        lab.start(asked)?;
        lab.until(WHOLE, || lab.whole())
            .with_context(|| format!("{} was cut off at a snapshot", asked.name))?;
    }
    // The last one may have been complete.
    let _none = fs::remove_file(&file);
    lab.on(planes[0], &["etcd", "snapshot"]).arg(&file).run()?;
    let said = sound(&file)?;
    lab.stage.shown(&format!(
        "of {SNAPSHOTS} snapshots whose node lost its power {broken} broke off, and left no file; a whole one: {said}"
    ));
    Ok(())
}

/// Cuts the power of any node while the authorities are replaced.
fn rotation(lab: &Lab, chance: &mut Chance) -> Result<()> {
    let secrets = lab.configs.join("rotated.yaml");
    let rotate = lab.on_all(&["rotate-ca", "--yes", "--settle", "1s", "--secrets"]);
    let rotate = rotate.arg(&secrets).within(ROTATION);
    let (mut victims, mut again) = (Vec::new(), 0);
    thread::scope(|scope| {
        let mut running = scope.spawn(|| rotate.end());
        for _ in 0..ROTATING {
            let victim = &lab.members[chance.below(lab.members.len())];
            let moment = cut_within(lab, chance, victim, SPREAD)?;
            victims.push(format!("{} after {moment}", victim.name));
        }
        // It waits for a node that is away; where a request to one was cut off it may end, and goes on when it is run again.
        loop {
            let ended = running.join().ok().context("the client failed")??;
            match ended.success {
                true => return Ok(()),
                false if again == TRIES => {
                    anyhow::bail!("it was run {again} times, and says: {}", ended.stderr)
                }
                false => again += 1,
            }
            running = scope.spawn(|| rotate.end());
        }
    })
    .with_context(|| format!("rotating, with cuts of {}", victims.join(", ")))?;
    lab.until(WHOLE, || lab.whole())?;
    lab.stage.shown(&format!(
        "all authorities were replaced, though the power was cut of {}; the command was run {} times",
        victims.join(", "),
        again + 1
    ));
    Ok(())
}

/// Checks a snapshot with etcd's own tool.
fn sound(file: &std::path::Path) -> Result<String> {
    let check = Tool::new("env").args(["ETCDCTL_API=3", "etcdctl", "snapshot", "status"]);
    Ok(check.arg(file).run()?.trim().to_owned())
}

/// Cuts a node's power at a random moment, and switches it on again. Returns the moment.
fn cut(lab: &Lab, chance: &mut Chance, member: &Member) -> Result<String> {
    cut_within(lab, chance, member, LATEST)
}

/// Cuts it before a moment.
fn cut_within(lab: &Lab, chance: &mut Chance, member: &Member, latest: Duration) -> Result<String> {
    let moment = chance.between(Duration::ZERO, latest);
    thread::sleep(moment);
    lab.kill(member)?;
    thread::sleep(OFF);
    lab.start(member)?;
    Ok(format!("{:.1} s", moment.as_secs_f64()))
}
