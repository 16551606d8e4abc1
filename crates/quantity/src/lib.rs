//! Amounts as people write them: bytes, bytes a second, lengths of time.
//!
//! One grammar for machine configs, boards, services and the programs: what is right in one place is right in all. A number,
//! perhaps a blank, and a unit. [`bytes`], [`rate`] and [`time`] read; [`show_bytes`] and [`show_rate`] write what they read
//! back. Does no I/O.

mod bytes;
mod time;

pub use bytes::{BYTES_PATTERN, RATE_PATTERN, bytes, rate, show_bytes, show_rate};
pub use time::{TIME_PATTERN, time};

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
