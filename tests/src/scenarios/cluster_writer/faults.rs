//! What happens to members at random.

use std::fmt;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::scenarios::containers::{Chance, Lab, Member};

/// How long a fault lasts.
const LASTS: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(12)];
/// The pause after it: the next one may come before all have recovered.
const PAUSE: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(8)];
/// One in so many faults takes two members, and with them the quorum.
const BOTH: usize = 4;

/// A fault.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// Its power is cut.
    Kill,
    /// It is cut off from the others, and from the writers.
    Cut,
    /// Its time stops.
    Pause,
}

/// How often each happened, counted by member.
#[derive(Default)]
pub struct Tally {
    kills: usize,
    cuts: usize,
    pauses: usize,
}

/// Lets something happen to one member, or to two, and ends it.
pub fn one(lab: &Lab, chance: &mut Chance, tally: &mut Tally) -> Result<()> {
    let planes: Vec<&Member> = lab.planes().collect();
    let many = if chance.below(BOTH) == 0 { 2 } else { 1 };
    let order = chance.order(planes.len());
    let mut suffering = Vec::new();
    for number in order.into_iter().take(many) {
        let fault = [Fault::Kill, Fault::Cut, Fault::Pause][chance.below(3)];
        fault.begin(lab, planes[number], tally)?;
        suffering.push((fault, planes[number]));
    }
    thread::sleep(chance.between(LASTS[0], LASTS[1]));
    for (fault, member) in suffering {
        fault.end(lab, member)?;
    }
    thread::sleep(chance.between(PAUSE[0], PAUSE[1]));
    Ok(())
}

impl Fault {
    fn begin(self, lab: &Lab, member: &Member, tally: &mut Tally) -> Result<()> {
        let (done, counted) = match self {
            Fault::Kill => (lab.kill(member), &mut tally.kills),
            Fault::Cut => (lab.connect(member, false), &mut tally.cuts),
            Fault::Pause => (lab.pause(member), &mut tally.pauses),
        };
        *counted += 1;
        done.with_context(|| format!("{self:?} of {}", member.name))
    }

    fn end(self, lab: &Lab, member: &Member) -> Result<()> {
        match self {
            Fault::Kill => lab.start(member),
            Fault::Cut => lab.connect(member, true),
            Fault::Pause => lab.resume(member),
        }
        .with_context(|| format!("the end of {self:?} of {}", member.name))
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { kills, cuts, pauses } = self;
        write!(f, "{kills} kills, {cuts} partitions and {pauses} pauses")
    }
}
