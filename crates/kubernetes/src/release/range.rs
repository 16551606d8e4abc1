//! A range of versions: how the table says where a flag begins and ends.

use std::collections::BTreeMap;

use crate::{Error, Minor};

/// Some series in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    first: Minor,
    /// The last one; none where it goes on.
    last: Option<Minor>,
}

/// The flags of a component with the versions that have them.
#[derive(Debug)]
pub(super) struct Flags(BTreeMap<String, Vec<Range>>);

impl Range {
    /// Reads `1.20`, `1.20+` or `1.20-1.34`.
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        if let Some(first) = text.strip_suffix('+') {
            return Ok(Self {
                first: first.parse()?,
                last: None,
            });
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last) = (first.parse()?, last.parse()?);
        match first <= last {
            true => Ok(Self {
                first,
                last: Some(last),
            }),
            false => Err(Error::NotAVersion(text.to_owned())),
        }
    }

    fn contains(self, series: Minor) -> bool {
        self.first <= series && self.last.is_none_or(|last| series <= last)
    }
}

impl Flags {
    /// Reads the lists of one component.
    pub(super) fn parse(lists: BTreeMap<String, Vec<String>>) -> Result<Self, Error> {
        let mut flags: BTreeMap<String, Vec<Range>> = BTreeMap::new();
        for (range, names) in lists {
            let range = Range::parse(&range)?;
            for name in names {
                flags.entry(name).or_default().push(range);
            }
        }
        Ok(Self(flags))
    }

    /// Tells whether a version has a flag.
    pub(super) fn has(&self, flag: &str, series: Minor) -> bool {
        let ranges = self.0.get(flag);
        ranges.is_some_and(|ranges| ranges.iter().any(|range| range.contains(series)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_one_version_several_or_all_from_one_on() {
        let has = |range: &str, series: &str| Range::parse(range).unwrap().contains(series.parse().unwrap());
        assert!(has("1.20", "1.20") && !has("1.20", "1.34"));
        assert!(has("1.20+", "1.36") && !has("1.34+", "1.20"));
        assert!(has("1.20-1.34", "1.34") && !has("1.20-1.34", "1.35"));
        for wrong in ["", "+", "1.34-1.20", "1.20.1", "1.20-", "a"] {
            assert!(Range::parse(wrong).is_err(), "{wrong}");
        }
    }
}
