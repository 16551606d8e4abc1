//! Versions of Kubernetes and etcd.

use std::fmt;
use std::str::FromStr;

use crate::Error;

/// A series of releases: `1.36`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Minor {
    /// The first number.
    pub major: u16,
    /// The second number.
    pub minor: u16,
}

/// One release: `1.36.2`. Its patch is not known where only a series is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The series.
    pub series: Minor,
    /// The third number.
    pub patch: Option<u16>,
}

impl fmt::Display for Minor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.patch {
            Some(patch) => write!(f, "{}.{patch}", self.series),
            None => self.series.fmt(f),
        }
    }
}

impl Version {
    /// Reads what a program says of itself when it is asked for its version: `Kubernetes v1.36.2`, `etcd Version: 3.5.16`. The
    /// version is the last word of the first line.
    ///
    /// # Errors
    ///
    /// [`Error::NotAVersion`] where there is none.
    pub fn printed(text: &str) -> Result<Self, Error> {
        let line = text.lines().next().unwrap_or_default();
        line.split_whitespace().next_back().unwrap_or_default().parse()
    }
}

impl FromStr for Version {
    type Err = Error;

    /// Reads `1.36`, `1.36.2` and what programs print: `v1.36.2`, with `+` and a build behind it. Pre-releases are none of it.
    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || Error::NotAVersion(text.to_owned());
        let plain = text.strip_prefix('v').unwrap_or(text);
        let plain = plain.split_once('+').map_or(plain, |(version, _)| version);
        let number = |part: &str| {
            let canonical =
                part.bytes().all(|b| b.is_ascii_digit()) && (part == "0" || !part.starts_with('0'));
            part.parse::<u16>().ok().filter(|_| canonical)
        };
        let numbers: Option<Vec<u16>> = plain.split('.').map(number).collect();
        match numbers.as_deref() {
            Some([major, minor]) => Ok(Self {
                series: Minor {
                    major: *major,
                    minor: *minor,
                },
                patch: None,
            }),
            Some([major, minor, patch]) => Ok(Self {
                series: Minor {
                    major: *major,
                    minor: *minor,
                },
                patch: Some(*patch),
            }),
            _ => Err(wrong()),
        }
    }
}

impl FromStr for Minor {
    type Err = Error;

    /// Reads `1.36` and nothing else.
    fn from_str(text: &str) -> Result<Self, Error> {
        match text.parse::<Version>() {
            Ok(Version { series, patch: None }) => Ok(series),
            _ => Err(Error::NotAVersion(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write_and_programs_print() {
        for (text, shown) in [
            ("1.36", "1.36"),
            ("v1.36.2", "1.36.2"),
            ("1.20.2+debian-1", "1.20.2"),
            ("3.5.16", "3.5.16"),
        ] {
            assert_eq!(text.parse::<Version>().unwrap().to_string(), shown, "{text}");
        }
        for wrong in [
            "",
            "1",
            "1.",
            "1.36.2.1",
            "1.036",
            "1.36.0-rc.1",
            "one.two",
            "vv1.36",
            "1.+36",
            "1.99999",
        ] {
            assert!(wrong.parse::<Version>().is_err(), "{wrong}");
        }
        let printed = |text| Version::printed(text).map(|version| version.to_string());
        assert_eq!(printed("Kubernetes v1.20.2\n").as_deref(), Ok("1.20.2"));
        assert_eq!(
            printed("etcd Version: 3.4.23\nGit SHA: none\n").as_deref(),
            Ok("3.4.23")
        );
        assert!(printed("").is_err());
    }
}
