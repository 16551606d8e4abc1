//! A package that a board or overlay asks for, and where it is to come from.

use std::collections::BTreeMap;
use std::path::PathBuf;

use board::Suite;

/// A package that a board or overlay asks for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// The Debian suite that it comes from; without one, the suite that all images are made of.
    pub suite: Option<Suite>,
    /// Or the folder of packages that it comes from.
    pub from: Option<PathBuf>,
}

/// A package is asked for from two places, and a lock file has one entry for it.
#[derive(Debug, thiserror::Error)]
#[error("package {name:?} is asked for from {first} and from {second}: give all of them the same `suite`")]
pub struct TwoPlaces {
    name: String,
    first: String,
    second: String,
}

impl Wanted {
    /// Wants a package of a suite.
    pub fn of(name: impl ToString, suite: Option<&Suite>) -> Wanted {
        Wanted {
            name: name.to_string(),
            suite: suite.cloned(),
            from: None,
        }
    }

    /// Returns where the package is to come from, for messages.
    fn place(&self) -> String {
        match (&self.suite, &self.from) {
            (_, Some(from)) => from.display().to_string(),
            (Some(suite), None) => suite.to_string(),
            (None, None) => "the suite of all images".to_owned(),
        }
    }
}

impl From<&str> for Wanted {
    fn from(name: &str) -> Wanted {
        Wanted::of(name, None)
    }
}

/// Packages by name, each from one place.
#[derive(Debug, Default)]
pub struct WantedSet(BTreeMap<String, Wanted>);

impl WantedSet {
    /// Adds a package.
    ///
    /// # Errors
    /// Fails when the same package is in the set from another place.
    pub fn add(&mut self, wanted: Wanted) -> Result<(), TwoPlaces> {
        match self.0.get(&wanted.name) {
            Some(known) if *known != wanted => Err(TwoPlaces {
                first: known.place(),
                second: wanted.place(),
                name: wanted.name,
            }),
            _ => {
                self.0.insert(wanted.name.clone(), wanted);
                Ok(())
            }
        }
    }

    /// Returns the packages, sorted by name.
    pub fn into_vec(self) -> Vec<Wanted> {
        self.0.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_comes_from_one_place() {
        let forky: Suite = "forky".parse().unwrap();
        let mut set = WantedSet::default();
        for _ in 0..2 {
            set.add(Wanted::of("b", Some(&forky))).unwrap();
        }
        set.add("a".into()).unwrap();
        let error = set.add("b".into()).unwrap_err().to_string();
        assert!(
            error.contains("from forky and from the suite of all images"),
            "{error}"
        );
        let names: Vec<_> = set.into_vec().into_iter().map(|wanted| wanted.name).collect();
        assert_eq!(names, ["a", "b"]);
    }
}
