//! Decides what to do with the answers of time servers. Pure.

use std::time::{Duration, SystemTime};

use super::bounds::Bounds;

/// What one server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The server's name, as it was asked.
    pub server: String,
    /// What the clock lacks, in microseconds.
    pub offset_micros: i64,
    /// How long the question and the answer took on their way together.
    pub delay: Duration,
}

/// What is done to the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adjustment {
    /// It is moved without a jump, by this many microseconds.
    Slew(i64),
    /// It is set to this time.
    Step(SystemTime),
}

/// What the answers of one round come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// None can be followed.
    Useless,
    /// This one is followed.
    Follow(Sample),
    /// This one would move the clock far, and nobody bears it out yet: servers are asked again first.
    Doubt {
        /// The answer.
        sample: Sample,
        /// How many rounds in a row have said so.
        rounds: u32,
        /// How many have to.
        needed: u32,
    },
}

/// The clocks when a round of answers came in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    /// The clock that is to be set.
    pub wall: SystemTime,
    /// The one that never jumps.
    pub since_boot: Duration,
}

/// A time that was told, but is not believed yet. Survives from one round to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Claim {
    /// When the machine was started, if the claim is true: the same in each round.
    started: SystemTime,
    rounds: u32,
}

/// More than this is stepped: at the kernel's half a millisecond per second, a slew would take over four minutes.
const STEP_MICROS: i64 = 128_000;
/// An answer that took longer is too vague to set a clock by.
const LONGEST_DELAY: Duration = Duration::from_secs(2);
/// A step further than this must be confirmed: certificates are dated back by as much, so less harms none.
const FAR_MICROS: i64 = 3_600_000_000;
/// Answers that differ by no more than this say the same: each may be off by half its delay.
const SAME: Duration = Duration::from_secs(2);
/// How many rounds in a row bear out a far step at the start, and one back.
const ROUNDS: u32 = 3;
/// How many bear out a far step forward of a clock that was in step: with [`WAIT`] seven and a half minutes. It ends
/// the life of certificates, and a clock that was set right never falls behind by an hour.
const ROUNDS_FORWARD: u32 = 8;
/// How long to wait for the next round of a claim, when the clock was in step before.
const WAIT: Duration = Duration::from_secs(64);
/// How long, when it never was: nothing depends on it yet.
const WAIT_AT_START: Duration = Duration::from_secs(2);

/// Weighs the answers of a round.
///
/// One that is out of bounds, or late, is none. Of three or more, one server alone cannot pull the clock away: the
/// middle one counts. Where two are in the middle and say the same, the quicker, else the one that moves the clock
/// less. A far step needs a majority of two or more servers, or the same answer in several rounds. `in_step` tells
/// whether the clock has followed a server in this boot.
pub(super) fn weigh(
    mut samples: Vec<Sample>,
    now: Now,
    bounds: Bounds,
    in_step: bool,
    claim: &mut Option<Claim>,
) -> Verdict {
    for sample in &mut samples {
        sample.offset_micros = bounds.in_era(now.wall, sample.offset_micros);
    }
    samples.retain(|sample| {
        sample.delay <= LONGEST_DELAY
            && shifted(now.wall, sample.offset_micros).is_some_and(|time| bounds.contain(time))
    });
    let all = samples.len();
    let Some(sample) = middle(&mut samples) else {
        *claim = None;
        return Verdict::Useless;
    };
    let agree = samples.iter().filter(|other| same(other, &sample)).count();
    let near = sample.offset_micros.abs() <= FAR_MICROS;
    if near || agree >= 2 && agree * 2 > all {
        *claim = None;
        return Verdict::Follow(sample);
    }
    let needed = if in_step && sample.offset_micros > 0 {
        ROUNDS_FORWARD
    } else {
        ROUNDS
    };
    let told = shifted(now.wall, sample.offset_micros).and_then(|told| told.checked_sub(now.since_boot));
    let started = told.unwrap_or(SystemTime::UNIX_EPOCH);
    let rounds = match claim {
        Some(claim) if apart(claim.started, started) <= SAME => claim.rounds + 1,
        _ => 1,
    };
    if rounds >= needed {
        *claim = None;
        return Verdict::Follow(sample);
    }
    // Kept as it was first told, so that it cannot creep.
    let first = claim
        .filter(|_| rounds > 1)
        .map_or(started, |claim| claim.started);
    *claim = Some(Claim {
        started: first,
        rounds,
    });
    Verdict::Doubt {
        sample,
        rounds,
        needed,
    }
}

/// Takes the middle one of answers; they are sorted then.
fn middle(samples: &mut [Sample]) -> Option<Sample> {
    samples.sort_by_key(|sample| sample.offset_micros);
    let (upper, lower) = (
        samples.get(samples.len() / 2)?,
        &samples[samples.len().saturating_sub(1) / 2],
    );
    let upper_wins = if same(lower, upper) {
        upper.delay < lower.delay
    } else {
        upper.offset_micros.abs() < lower.offset_micros.abs()
    };
    Some(if upper_wins { upper.clone() } else { lower.clone() })
}

fn same(a: &Sample, b: &Sample) -> bool {
    Duration::from_micros(a.offset_micros.abs_diff(b.offset_micros)) <= SAME
}

fn apart(a: SystemTime, b: SystemTime) -> Duration {
    a.duration_since(b).unwrap_or_else(|before| before.duration())
}

/// Decides how the clock gets to the right time.
pub(super) fn adjust(now: SystemTime, offset_micros: i64) -> Adjustment {
    match shifted(now, offset_micros) {
        Some(to) if offset_micros.abs() > STEP_MICROS => Adjustment::Step(to),
        _ => Adjustment::Slew(offset_micros.clamp(-STEP_MICROS, STEP_MICROS)),
    }
}

fn shifted(now: SystemTime, micros: i64) -> Option<SystemTime> {
    let by = Duration::from_micros(micros.unsigned_abs());
    if micros < 0 {
        now.checked_sub(by)
    } else {
        now.checked_add(by)
    }
}

/// Returns how long to wait before the servers are asked again.
///
/// `failures` counts the rounds without an answer, `successes` those with one since the last failure: a server that
/// does not answer is asked ever more rarely, and a clock that keeps time well needs to ask ever more rarely.
pub(super) fn pause(failures: u32, successes: u32) -> Duration {
    match (failures, successes) {
        (0, 0) => Duration::ZERO,
        // Two, four, eight … seconds, up to five minutes.
        (1.., _) => Duration::from_secs(1 << failures.min(9)).min(Duration::from_secs(300)),
        // About a minute at first, to see the drift, up to 17 minutes.
        (0, _) => Duration::from_secs(64 << (successes / 4).min(4)),
    }
}

/// Returns how long to wait before a claim is asked for again.
pub(super) fn pause_in_doubt(in_step: bool) -> Duration {
    if in_step { WAIT } else { WAIT_AT_START }
}

#[cfg(test)]
mod tests;
