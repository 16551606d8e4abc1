//! Reports the number of states that were checked.

use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::Tally;

/// The number of states that all proofs of this program have checked so far.
static ALL: AtomicU64 = AtomicU64::new(0);

/// Prints how many states a proof has checked.
///
/// It bypasses the test harness, which hides the output of tests that pass: the number is the result.
pub fn report(proof: &str, tally: Tally) {
    let Tally {
        generated,
        distinct,
        seed,
    } = tally;
    let all = ALL.fetch_add(generated, Ordering::Relaxed) + generated;
    // A closed output changes nothing.
    let _ = writeln!(
        std::io::stderr(),
        "power cuts: {proof}: {generated} states generated, {distinct} distinct (seed {seed}); {all} in this program so far"
    );
}
