//! Saying how much was looked at.

use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::Tally;

/// States that all proofs of this program have looked at so far.
static ALL: AtomicU64 = AtomicU64::new(0);

/// Prints how many states a proof has looked at.
///
/// It goes past the test harness, which keeps the output of tests that pass to itself: the figure is the point.
pub fn report(proof: &str, tally: Tally) {
    let Tally {
        generated,
        distinct,
        seed,
    } = tally;
    let all = ALL.fetch_add(generated, Ordering::Relaxed) + generated;
    // Whether anybody listens changes nothing.
    let _ = writeln!(
        std::io::stderr(),
        "power cuts: {proof}: {generated} states generated, {distinct} distinct (seed {seed}); {all} in this program so far"
    );
}
