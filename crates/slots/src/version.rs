//! Versions of a system: strict `MAJOR.MINOR.PATCH`, so that one is always older than, equal to or newer than another.

use core::fmt;
use core::str::FromStr;

/// Identifies a release. Ordered by major, then minor, then patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Version {
    /// Changes that need a reader's attention.
    pub major: u16,
    /// New features.
    pub minor: u16,
    /// Fixes.
    pub patch: u16,
}

impl Version {
    /// Makes a version of its three numbers.
    pub const fn new(major: u16, minor: u16, patch: u16) -> Version {
        Version { major, minor, patch }
    }

    /// Tells whether this is 0.0.0, the version below all releases.
    pub const fn is_zero(&self) -> bool {
        self.as_u64() == 0
    }

    /// Packs the version into a number that orders the same way.
    pub const fn as_u64(self) -> u64 {
        (self.major as u64) << 32 | (self.minor as u64) << 16 | self.patch as u64
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// Says that a text is not a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a version; expected MAJOR.MINOR.PATCH such as 0.1.0, each at most 65535 and without leading zeros"
)]
pub struct ParseVersionError;

impl FromStr for Version {
    type Err = ParseVersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut numbers = text.split('.').map(number);
        let mut next = || numbers.next().unwrap_or(Err(ParseVersionError));
        let version = Version {
            major: next()?,
            minor: next()?,
            patch: next()?,
        };
        match numbers.next() {
            None => Ok(version),
            Some(_) => Err(ParseVersionError),
        }
    }
}

/// Reads one number. `u16::from_str` alone would take `+1` and `007`, and two texts would name one version.
fn number(text: &str) -> Result<u16, ParseVersionError> {
    let canonical = text == "0" || !text.starts_with('0');
    if !canonical || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(ParseVersionError);
    }
    text.parse().map_err(|_| ParseVersionError)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::string::ToString;

    #[test]
    fn refuses_everything_but_three_plain_numbers() {
        for text in [
            "",
            "1",
            "1.2",
            "1.2.3.4",
            "1.2.",
            ".1.2",
            "01.2.3",
            "+1.2.3",
            "1.2.65536",
            "v1.2.3",
            "1.2.3-rc1",
            "1. 2.3",
        ] {
            assert_eq!(text.parse::<Version>(), Err(ParseVersionError), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn text_and_number_keep_order(a: (u16, u16, u16), b: (u16, u16, u16)) {
            let (a, b) = (Version::new(a.0, a.1, a.2), Version::new(b.0, b.1, b.2));
            prop_assert_eq!(a.to_string().parse(), Ok(a));
            prop_assert_eq!(a.cmp(&b), a.as_u64().cmp(&b.as_u64()));
        }
    }
}
