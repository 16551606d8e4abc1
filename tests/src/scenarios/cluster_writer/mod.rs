//! Nothing that etcd acknowledged is lost, whatever happens to its members.

mod faults;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::cluster_ha::order;
use super::containers::{Chance, Etcdctl, Lab, Writers};
use crate::scenario::Stage;

/// Programs of this machine that it needs.
pub const TOOLS: &[&str] = &["etcdctl", "nsenter", "ip"];
/// Says for how many minutes members fail.
const MINUTES: &str = "BEDPLATE_MINUTES";
/// If it says nothing.
const USUAL: u64 = 3;
/// Until all is as it was.
const WHOLE: Duration = Duration::from_secs(420);

/// Makes a cluster of three control planes, and writes while they fail.
pub fn run(stage: &Stage) -> Result<()> {
    let mut chance = Chance::new(stage)?;
    let minutes = match std::env::var(MINUTES) {
        Ok(minutes) => minutes
            .parse()
            .with_context(|| format!("{MINUTES}={minutes} is no number"))?,
        Err(_) => USUAL,
    };
    let lab = Lab::new(stage, 3, 0)?;
    let outcome = write(&lab, &mut chance, Duration::from_secs(60 * minutes));
    chance.again(outcome)
}

fn write(lab: &Lab, chance: &mut Chance, time: Duration) -> Result<()> {
    order::join(lab, chance)?;
    let etcd = Etcdctl::of(lab, lab.planes().next().context("there are three")?)?;
    let writers = Writers::start(lab, &etcd);
    let begun = Instant::now();
    let mut tally = faults::Tally::default();
    while begun.elapsed() < time {
        faults::one(lab, chance, &mut tally)?;
    }
    let healed = lab.until(WHOLE, || lab.whole())?;
    let count = writers.verify(lab)?;
    lab.stage.shown(&format!(
        "{} writes were acknowledged during {tally} in {} s, and all are there on every member ({} more had no answer); \
         healthy {} s after the last",
        count.acknowledged,
        begun.elapsed().as_secs(),
        count.unknown,
        healed.as_secs(),
    ));
    Ok(())
}
