//! Amounts as people write them: bytes, bytes a second, lengths of time.
//!
//! One grammar for machine configs, boards, services and the programs: what is right in one place is right in all. A number,
//! perhaps a blank, and a unit. [`bytes`], [`rate`] and [`time`] read; [`show_bytes`], [`show_rate`] and [`show_time`] write
//! exactly what they read back, [`human_bytes`] and [`human_time`] what a person wants to know, which they read too. With the
//! feature `serde`, [`Size`] is a number of bytes in a file. Does no I/O.

mod bytes;
#[cfg(feature = "serde")]
mod size;
mod time;

pub use bytes::{BYTES_PATTERN, RATE_PATTERN, bytes, human_bytes, rate, show_bytes, show_rate};
#[cfg(feature = "serde")]
pub use size::{NotASize, Size};
pub use time::{TIME_PATTERN, human_time, show_time, time};

/// Why a text is not an amount. `Display` says what would be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// It does not begin with a number.
    #[error("expected a number and a unit, such as {0}")]
    Form(&'static str),
    /// There is no such unit.
    #[error("{unit:?} is not a unit; use {known}")]
    Unit {
        /// What stands there.
        unit: String,
        /// The units there are.
        known: &'static str,
    },
    /// A length of time has no unit: hours or seconds?
    #[error("the unit is missing; use {0}")]
    NoUnit(&'static str),
    /// It is more than can be counted.
    #[error("that is too much")]
    TooMuch,
    /// It is nothing, or rounds down to it.
    #[error("that is nothing")]
    Nothing,
}

/// Takes the number off the front of a text; behind it are blanks and a unit.
fn split(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    (number, unit.trim_start_matches(' '))
}
