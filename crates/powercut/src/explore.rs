//! Generates every content that a medium may have after a power cut.
//!
//! Between two syncs nothing is certain: each sector may hold any of the versions that were written to it since the first
//! of them, or what it held before. Those are too many to list, so they are generated in this order:
//!
//! 1. every prefix of the writes;
//! 2. the write in flight, torn before and after each of its sectors, and with a sector of noise where it stopped;
//! 3. all subsets of the writes between two syncs when they are few; otherwise each write lost alone, each one surviving
//!    alone, and random subsets;
//! 4. random sectors.

use std::convert::Infallible;

use crate::pending::{Explorer, Pending};
use crate::recorder::{Event, Recording};
use crate::state::{Broken, How, Options, State, Tally};

/// Generates every state, and calls `visit` once for each different one, until it returns an error.
pub fn explore<E: std::error::Error + 'static>(
    recording: &Recording,
    options: &Options,
    visit: impl FnMut(&State) -> Result<(), E>,
) -> Result<Tally, Broken<E>> {
    let mut explorer = Explorer::new(options, visit);
    explorer.show(&recording.before, || How::After(0))?;
    let mut durable = recording.before.clone();
    let mut seen = durable.clone();
    let mut number = 0;
    // What may still be in a cache.
    let mut pending: Vec<Pending<'_>> = Vec::new();
    for event in &recording.events {
        match event {
            Event::Write(write) => {
                explorer.torn(&seen, number, write)?;
                write.apply(&mut seen);
                pending.push(Pending { number, write });
                number += 1;
                explorer.show(&seen, || How::After(number))?;
            }
            Event::Sync(part) => {
                explorer.lost(&durable, &pending)?;
                pending.retain(|pending| {
                    let arrives = pending.write.is_in(part);
                    if arrives {
                        pending.write.apply(&mut durable);
                    }
                    !arrives
                });
                explorer.syncs += 1;
            }
        }
    }
    explorer.lost(&durable, &pending)?;
    Ok(explorer.tally)
}

/// Lists the states, without checking them.
pub fn states(recording: &Recording, options: &Options) -> (Vec<State>, Tally) {
    let mut states = Vec::new();
    let collect = |state: &State| {
        states.push(state.clone());
        Ok::<_, Infallible>(())
    };
    match explore(recording, options, collect) {
        Ok(tally) => (states, tally),
        Err(broken) => match broken.source {},
    }
}
