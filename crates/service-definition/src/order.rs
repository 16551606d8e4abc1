//! The order in which services can start: each after those it waits for.

use std::collections::BTreeMap;

/// Sorts names so that each follows those it waits for; ties are sorted by name. Names that are not defined are left
/// out. The error is a cycle: its first name is also its last.
pub(crate) fn sort(waits_for: &BTreeMap<&str, Vec<&str>>) -> Result<Vec<String>, Vec<String>> {
    let mut walk = Walk {
        waits_for,
        done: Vec::new(),
        path: Vec::new(),
    };
    for name in waits_for.keys() {
        walk.visit(name)?;
    }
    Ok(walk.done)
}

struct Walk<'a> {
    waits_for: &'a BTreeMap<&'a str, Vec<&'a str>>,
    done: Vec<String>,
    path: Vec<&'a str>,
}

impl<'a> Walk<'a> {
    fn visit(&mut self, name: &'a str) -> Result<(), Vec<String>> {
        let Some(others) = self.waits_for.get(name) else {
            return Ok(());
        };
        if self.done.iter().any(|done| done == name) {
            return Ok(());
        }
        if let Some(start) = self.path.iter().position(|step| *step == name) {
            let circle = self.path[start..].iter().chain([&name]);
            return Err(circle.map(|step| (*step).to_owned()).collect());
        }
        self.path.push(name);
        for other in others {
            self.visit(other)?;
        }
        self.path.pop();
        self.done.push(name.to_owned());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_come_first() {
        let waits = BTreeMap::from([
            ("a", vec!["c", "absent"]),
            ("b", vec![]),
            ("c", vec!["b"]),
            ("d", vec!["a", "c"]),
        ]);
        assert_eq!(sort(&waits).unwrap(), ["b", "c", "a", "d"]);
    }

    #[test]
    fn a_cycle_is_shown_in_full() {
        let waits = BTreeMap::from([("a", vec!["b"]), ("b", vec!["c"]), ("c", vec!["b"])]);
        assert_eq!(sort(&waits).unwrap_err(), ["b", "c", "b"]);
        let alone = BTreeMap::from([("a", vec!["a"])]);
        assert_eq!(sort(&alone).unwrap_err(), ["a", "a"]);
    }
}
