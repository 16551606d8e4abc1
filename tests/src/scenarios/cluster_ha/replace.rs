//! A control plane is lost for good, and a fresh one of its name takes its place.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::scenarios::containers::{Chance, Lab, Member};

/// Until all is as it was.
const WHOLE: Duration = Duration::from_secs(420);

/// Replaces one control plane.
pub fn one(lab: &Lab, chance: &mut Chance) -> Result<()> {
    let planes: Vec<&Member> = lab.planes().collect();
    let lost = planes[chance.below(planes.len())];
    let before = number(lab, lost)?;
    lab.remove(lost)?;
    lab.make(lost)?;
    let made = Instant::now();
    lab.until(WHOLE, || {
        lab.whole()?;
        ensure!(
            number(lab, lost)? != before,
            "{} is the old member still",
            lost.name
        );
        Ok(())
    })
    .with_context(|| format!("{} was replaced", lost.name))?;
    let kubectl = lab.kubectl(lost)?;
    kubectl.ready(&lost.name, WHOLE)?;
    let after = number(lab, lost)?;
    for plane in &planes {
        let voters = lab.voters(plane)?;
        ensure!(
            voters.iter().all(|(_, id)| *id != before),
            "{} still lists member {before}",
            plane.name
        );
    }
    lab.stage.shown(&format!(
        "a fresh {} took the place of the lost one: member {after} for {before}, healthy after {:.0} s",
        lost.name,
        made.elapsed().as_secs_f64()
    ));
    Ok(())
}

/// Returns the number of a control plane's member of etcd.
fn number(lab: &Lab, plane: &Member) -> Result<String> {
    let voters = lab.voters(plane)?;
    let own = voters.into_iter().find(|(name, _)| *name == plane.name);
    Ok(own.context("it is no member")?.1)
}
