//! A cluster with three control planes, and what becomes of it when nodes fail, are replaced, or lie.

mod kills;
pub mod order;
mod recover;
mod refusals;
mod replace;
mod rotate;
mod thief;

use anyhow::Result;

use super::containers::{Chance, Lab};
use crate::scenario::Stage;

/// Programs of this machine that it needs.
pub const TOOLS: &[&str] = &["curl", "base64", "nsenter", "ip", "openssl"];

/// Makes a cluster of four nodes, and lets everything happen to it.
pub fn run(stage: &Stage) -> Result<()> {
    let mut chance = Chance::new(stage)?;
    let lab = Lab::new(stage, 3, 1)?;
    let outcome = all(&lab, &mut chance);
    chance.again(outcome)
}

fn all(lab: &Lab, chance: &mut Chance) -> Result<()> {
    order::join(lab, chance)?;
    refusals::second_bootstrap(lab)?;
    refusals::wrong_token(lab)?;
    refusals::stolen_certificate(lab)?;
    kills::each(lab, chance)?;
    rotate::authorities(lab, chance)?;
    replace::one(lab, chance)?;
    recover::from_snapshot(lab, chance)
}
