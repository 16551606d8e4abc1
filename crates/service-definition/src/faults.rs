//! The faults of a list of services, collected.

use std::fmt;

/// One fault of one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The service's name.
    pub service: String,
    /// The field, as it is named in YAML.
    pub field: String,
    /// What is wrong, and how to fix it.
    pub text: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "service {:?}: {}: {}", self.service, self.field, self.text)
    }
}

/// All faults, one per line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.0))]
pub struct Faults(pub Vec<Fault>);

fn lines(faults: &[Fault]) -> String {
    let lines: Vec<String> = faults.iter().map(Fault::to_string).collect();
    lines.join("\n")
}

/// Collects the faults of one service.
pub(crate) struct Collector<'a> {
    pub(crate) service: &'a str,
    pub(crate) faults: &'a mut Vec<Fault>,
}

impl Collector<'_> {
    /// Adds a fault.
    pub(crate) fn fault(&mut self, field: impl Into<String>, text: impl Into<String>) {
        self.faults.push(Fault {
            service: self.service.to_owned(),
            field: field.into(),
            text: text.into(),
        });
    }

    /// Adds a fault unless the number is within the limits.
    pub(crate) fn within<N: PartialOrd + fmt::Display>(&mut self, field: &str, number: N, least: N, most: N) {
        if number < least || number > most {
            self.fault(field, format!("{number} is not between {least} and {most}"));
        }
    }
}
