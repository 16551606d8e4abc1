//! Translates Compose files to workloads of the machine config. Pure: it reads no file, no environment and no clock.
//!
//! [`service`] has the table of what a service can say, [`values`] reads what stands behind a key, and [`words`] variables and
//! command lines. Whatever has no translation is a [`Left`], with line, path and reason: nothing is dropped silently.
//!
//! Source of the names: the Compose specification.

mod limits;
mod network;
mod others;
mod running;
mod service;
mod storage;
#[cfg(test)]
mod tests;
mod values;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use machine_config::v1alpha1::Workload;
use machine_config::value::Name;
use serde::Serialize;
use yaml::{Fault, Node, join};

/// The most services of a file: as many workloads as a node can have.
const MOST_SERVICES: usize = 64;
/// The longest name of a workload.
const LONGEST_NAME: usize = 48;

/// The answers to what a Compose file leaves open.
#[derive(Debug, Default)]
pub struct Options {
    /// Values of variables that the file names.
    pub variables: BTreeMap<String, String>,
    /// Set when images are part of the system image.
    pub bundled: bool,
}

/// What a Compose file says that workloads cannot, or not in the same way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Left {
    /// The line, from 1.
    pub line: usize,
    /// The path of the key, such as `services.web.build`.
    pub path: String,
    /// Why, and what to do instead.
    pub reason: String,
}

/// A translated file.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Translation {
    /// The workloads, in the order of the file.
    pub workloads: Vec<Workload>,
    /// What does not fit, in the order of lines.
    #[serde(skip)]
    pub left: Vec<Left>,
}

/// Translates a Compose file.
///
/// # Errors
/// The first fault of a file that is not YAML of the strict kind, or has no services.
pub fn translate(text: &str, options: &Options) -> Result<Translation, Fault> {
    let root = yaml::read(text)?;
    let services = root
        .entry("services")
        .ok_or_else(|| Fault::at(0, "it has no services: is it a Compose file?"))?
        .1;
    let entries = services.entries().map_err(|message| Fault {
        line: services.line,
        path: "services".into(),
        message,
    })?;
    if entries.len() > MOST_SERVICES {
        return Err(Fault::at(
            services.line,
            format!(
                "it has {} services; a node has at most {MOST_SERVICES} workloads",
                entries.len()
            ),
        ));
    }
    let names: BTreeSet<&str> = entries.iter().map(|(key, _)| key.name.as_str()).collect();
    let mut notes = Notes {
        options,
        names,
        left: Vec::new(),
    };
    others::top(&root, &mut notes);
    let mut workloads = Vec::new();
    for (key, node) in entries {
        let path = join("services", &key.name);
        let name = key.name.parse::<Name>().ok();
        match name.filter(|name| name.as_str().len() <= LONGEST_NAME) {
            Some(name) => workloads.extend(service::translate(name, node, &path, &mut notes)),
            None => notes.left(
                key.line,
                &path,
                "cannot be the name of a workload; use at most 48 lower-case letters, digits and hyphens",
            ),
        }
    }
    // A workload cannot wait for one that was left out.
    let there: BTreeSet<String> = workloads.iter().map(|one| one.name.to_string()).collect();
    for workload in &mut workloads {
        workload.depends_on.retain(|name| there.contains(name.as_str()));
    }
    let mut left = notes.left;
    left.sort();
    left.dedup();
    Ok(Translation { workloads, left })
}

/// What a translation notes on its way.
struct Notes<'a> {
    options: &'a Options,
    /// The names of all services.
    names: BTreeSet<&'a str>,
    left: Vec<Left>,
}

impl Notes<'_> {
    fn left(&mut self, line: usize, path: &str, reason: impl Into<String>) {
        self.left.push(Left {
            line,
            path: path.to_owned(),
            reason: reason.into(),
        });
    }

    /// Notes what is wrong with a value, if something is.
    fn good<T>(&mut self, node: &Node, path: &str, value: Result<T, String>) -> Option<T> {
        value.map_err(|reason| self.left(node.line, path, reason)).ok()
    }

    /// Reads a text, number or truth value as text, with its variables filled in.
    fn text(&mut self, node: &Node, path: &str) -> Option<String> {
        let text = match &node.value {
            yaml::Value::Scalar(scalar) if !node.is_null() => {
                words::filled(&scalar.text, &self.options.variables)
            }
            _ => Err(node.expected("a text")),
        };
        self.good(node, path, text)
    }

    /// Reads a list of texts; a text alone is a list of one.
    fn texts(&mut self, node: &Node, path: &str) -> Vec<String> {
        match &node.value {
            yaml::Value::List(items) => {
                let items = items.iter().enumerate();
                items
                    .filter_map(|(at, item)| self.text(item, &format!("{path}[{at}]")))
                    .collect()
            }
            _ => self.text(node, path).into_iter().collect(),
        }
    }

    /// Reads `true` or `false`.
    fn boolean(&mut self, node: &Node, path: &str) -> Option<bool> {
        let text = self.text(node, path)?;
        let value = match text.as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(node.expected("true or false")),
        };
        self.good(node, path, value)
    }

    /// Reads a text of a form.
    fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(&mut self, node: &Node, path: &str) -> Option<T> {
        let text = self.text(node, path)?;
        let value = text.parse().map_err(|error| format!("{text:?} is not {error}"));
        self.good(node, path, value)
    }
}
