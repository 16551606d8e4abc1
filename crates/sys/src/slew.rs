// UNSAFETY: slewing the clock is `clock_adjtime`, for which nix has no safe wrapper.
#![expect(unsafe_code)]
//! Moving the wall clock without a jump.

use nix::errno::Errno;
use nix::libc;

use crate::{Context, Result};

/// The kernel's limit for one slew (`ADJ_OFFSET_SINGLESHOT` takes microseconds; more than this needs a step).
const MOST_MICROS: i64 = 500_000;

/// Makes the wall clock run slightly faster or slower until it has moved by `micros`; replaces a slew in progress.
pub fn slew(micros: i64) -> Result<()> {
    let micros = micros.clamp(-MOST_MICROS, MOST_MICROS);
    // SAFETY: `timex` is plain data; all zeros is a valid value of it.
    let mut request: libc::timex = unsafe { std::mem::zeroed() };
    request.modes = libc::ADJ_OFFSET_SINGLESHOT;
    request.offset = micros as libc::c_long;
    // SAFETY: `request` is a `timex` that lives through the call, which writes nothing beyond it.
    let answer = unsafe { libc::clock_adjtime(libc::CLOCK_REALTIME, &raw mut request) };
    // The result is the clock's state: anything from zero up is success.
    Errno::result(answer)
        .map(drop)
        .context(|| format!("slew the clock by {micros} µs"))
}
