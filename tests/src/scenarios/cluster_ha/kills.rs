//! Each control plane loses its power in turn, and the holder of the virtual address its network, while clients ask.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::scenarios::containers::{Chance, Lab, Member, Watch};

/// Until clients have an answer again.
const ANSWERS: Duration = Duration::from_secs(120);
/// Until all is as it was.
const WHOLE: Duration = Duration::from_secs(300);
/// An answer that came so soon after a cut may have been under way before it.
const NOBODY: Duration = Duration::from_millis(500);
/// How long a node is off, at least: leases end, and others take over.
const OFF: Duration = Duration::from_secs(20);

/// Kills each control plane, and switches it on again.
pub fn each(lab: &Lab, chance: &mut Chance) -> Result<()> {
    let planes: Vec<&Member> = lab.planes().collect();
    let watch = Watch::start(lab, &lab.kubectl(planes[0])?, lab.worker()?)?;
    for number in chance.order(planes.len()) {
        let victim = planes[number];
        kill(lab, &watch, victim).with_context(|| format!("{} was killed", victim.name))?;
    }
    cut_off_holder(lab, &watch)
}

fn kill(lab: &Lab, watch: &Watch, victim: &Member) -> Result<()> {
    let was = role(lab, victim)?;
    watch.begin();
    lab.kill(victim)?;
    let killed = Instant::now();
    lab.until(ANSWERS, || watch.answers_since(killed + OFF))?;
    let told = watch.told();
    lab.start(victim)?;
    let started = Instant::now();
    lab.until(WHOLE, || lab.whole())?;
    let healed = started.elapsed().as_secs_f64();
    lab.stage.shown(&format!(
        "killed {}{was}: no answer for {told}; healthy {healed:.0} s after it was switched on",
        victim.name
    ));
    Ok(())
}

/// Cuts the holder of the virtual address off from all others: it must not have the address any more when another has it.
fn cut_off_holder(lab: &Lab, watch: &Watch) -> Result<()> {
    let holder = lab.until_some(ANSWERS, || holder(lab))?;
    let was = role(lab, holder)?;
    watch.begin();
    lab.connect(holder, false)?;
    let cut = Instant::now();
    // Whoever answers has the address: nobody reaches the one that is cut off.
    lab.until(ANSWERS, || watch.answers_since(cut + NOBODY))?;
    let held = lab.has_address(holder, lab.virtual_address)?;
    lab.until(ANSWERS, || watch.answers_since(cut + OFF))?;
    let told = watch.told();
    lab.connect(holder, true)?;
    ensure!(
        !held,
        "{} still had {} when another one had it",
        holder.name,
        lab.virtual_address
    );
    let healed = lab
        .until(WHOLE, || lab.whole())
        .with_context(|| format!("{} was cut off", holder.name))?;
    lab.stage.shown(&format!(
        "cut off {}{was}: no answer for {told}; healthy {} s after it was connected again",
        holder.name,
        healed.as_secs()
    ));
    Ok(())
}

/// Finds the control plane that has the virtual address.
fn holder<'a>(lab: &'a Lab) -> Result<&'a Member> {
    let found = lab
        .planes()
        .find(|plane| lab.has_address(plane, lab.virtual_address).unwrap_or(false));
    found.context("nobody has the virtual address")
}

/// Says what a control plane is beside being one.
fn role(lab: &Lab, plane: &Member) -> Result<String> {
    let held = lab.ask(plane, &["get", "VirtualIpStatus"])?;
    let own = lab.ask(plane, &["etcd", "status"])?;
    let mut roles = Vec::new();
    if held[0]["value"]["here"] == true {
        roles.push("has the virtual address");
    }
    if own["leaderId"] == own["memberId"] {
        roles.push("leads etcd");
    }
    Ok(match roles.is_empty() {
        true => String::new(),
        false => format!(" (it {})", roles.join(" and ")),
    })
}
