//! Amounts as people write them: bytes, bytes per second, lengths of time.
//!
//! One grammar for machine configs, boards, services and programs, so that a text is valid everywhere or nowhere. A number,
//! an optional space, and a unit. [`bytes`], [`rate`] and [`time`] parse; [`show_bytes`], [`show_rate`] and [`show_time`]
//! format exactly what they parse back, [`human_bytes`] and [`human_time`] a rounded form for people, which can be parsed
//! too. With the feature `serde`, [`Size`] is a number of bytes in a file. Does no I/O.

mod bytes;
#[cfg(feature = "serde")]
mod size;
mod time;

pub use bytes::{BYTES_PATTERN, RATE_PATTERN, bytes, human_bytes, rate, show_bytes, show_rate};
#[cfg(feature = "serde")]
pub use size::{NotASize, Size};
pub use time::{TIME_PATTERN, human_time, show_time, time};

/// Why a text is not an amount. `Display` says what is expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// It does not start with a number.
    #[error("expected a number and a unit, such as {0}")]
    Form(&'static str),
    /// The unit is unknown.
    #[error("{unit:?} is not a unit; use {known}")]
    Unit {
        /// The unknown unit.
        unit: String,
        /// The known units.
        known: &'static str,
    },
    /// A length of time has no unit: hours or seconds?
    #[error("the unit is missing; use {0}")]
    NoUnit(&'static str),
    /// It is too large.
    #[error("that is too much")]
    TooMuch,
    /// It is zero, or rounds down to zero.
    #[error("that is nothing")]
    Nothing,
}

/// Splits the number off the front of a text; spaces and a unit follow.
fn split(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    (number, unit.trim_start_matches(' '))
}
