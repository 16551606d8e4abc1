//! Walks a YAML tree and collects every fault instead of stopping at the first.
//!
//! A reader asks for the value it expects and gets `None` when it is absent or wrong; the fault is already recorded then.
//! Asking for a field also makes its name known, so a map's list of known names cannot get out of sync with what is read.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use yaml::{Fault, Node, Value, did_you_mean, join};

use crate::fault::Faults;
use crate::value::{Document, Period};

/// Collects faults while a document is read.
#[derive(Default)]
pub(crate) struct Notes(RefCell<Vec<Fault>>);

impl Notes {
    /// Returns the value if nothing was wrong, or else all faults.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, Faults> {
        let faults = Faults::from_list(self.0.into_inner());
        match (faults, value) {
            (Some(faults), _) => Err(faults),
            (None, Some(value)) => Ok(value),
            (None, None) => Err(Faults::one(0, "", "the document is empty")),
        }
    }
}

/// A value, its place in the document, and the collector of faults.
#[derive(Clone)]
pub(crate) struct Cursor<'a> {
    node: &'a Node,
    line: usize,
    path: String,
    notes: &'a Notes,
}

impl<'a> Cursor<'a> {
    /// Makes the cursor of a whole document.
    pub fn root(node: &'a Node, notes: &'a Notes) -> Self {
        Self {
            node,
            line: node.line,
            path: String::new(),
            notes,
        }
    }

    /// Records a fault of this value.
    pub fn fault(&self, message: impl Into<String>) {
        let fault = Fault {
            line: self.line,
            path: self.path.clone(),
            message: message.into(),
        };
        self.notes.0.borrow_mut().push(fault);
    }

    /// Records that a value is not what was expected.
    fn noted<T>(&self, read: Result<T, String>) -> Option<T> {
        read.map_err(|message| self.fault(message)).ok()
    }

    /// Reads a map with known names.
    pub fn object(self) -> Option<Object<'a>> {
        let fields = self
            .noted(self.node.entries())?
            .iter()
            .map(|(key, node)| (key.name.as_str(), (key.line, node)))
            .collect();
        Some(Object {
            cursor: self,
            fields,
            known: Vec::new(),
        })
    }

    /// Reads a map whose names are the user's: each name with its value.
    pub fn entries(self) -> Vec<(String, Cursor<'a>)> {
        let entries = self.noted(self.node.entries()).unwrap_or_default();
        let child = |key: &yaml::Key, node: &'a Node| {
            let path = join(&self.path, &key.name);
            let cursor = Cursor {
                node,
                line: key.line,
                path,
                notes: self.notes,
            };
            (key.name.clone(), cursor)
        };
        entries.iter().map(|(key, node)| child(key, node)).collect()
    }

    /// Reads the values of a list.
    pub fn items(self) -> Vec<Cursor<'a>> {
        let items = self.noted(self.node.items()).unwrap_or_default();
        let item = |(index, node): (usize, &'a Node)| Cursor {
            node,
            line: node.line,
            path: format!("{}[{index}]", self.path),
            notes: self.notes,
        };
        items.iter().enumerate().map(item).collect()
    }

    /// Reads `true` or `false`.
    pub fn boolean(&self) -> Option<bool> {
        self.noted(self.node.boolean())
    }

    /// Reads a whole number from `least` to `most`.
    pub fn number(&self, least: u32, most: u32) -> Option<u32> {
        self.noted(self.node.number(least, most))
    }

    /// Reads a text. A bare number or boolean is not one: only the writer knows if quotes were forgotten or the wrong field
    /// was set.
    pub fn text(&self) -> Option<&'a str> {
        self.noted(self.node.text())
    }

    /// Reads a scalar as it is written, number or text.
    pub fn literal(&self) -> Option<&'a str> {
        match &self.node.value {
            Value::Scalar(s) if !self.node.is_null() => Some(&s.text),
            _ => {
                self.fault(self.node.expected("a text or number"));
                None
            }
        }
    }

    /// Reads a text with a format. Its error completes the sentence `"TEXT" is not …`.
    pub fn parsed<T: FromStr<Err: Display>>(&self) -> Option<T> {
        let text = self.text()?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.fault(format!("{text:?} is not {error}"));
                None
            }
        }
    }

    /// Reads a text with a format, and never quotes it: it may contain a secret that belongs elsewhere, and faults are
    /// logged.
    pub fn parsed_unquoted<T: FromStr<Err: Display>>(&self) -> Option<T> {
        let parsed = self.text()?.parse();
        parsed
            .inspect_err(|error| self.fault(format!("is not {error}")))
            .ok()
    }

    /// Reads a length of time. For a bare number the fault names the missing unit: other tools assume seconds.
    pub fn period(&self) -> Option<Period> {
        if let (Value::Scalar(s), "a number") = (&self.node.value, self.node.kind()) {
            self.fault(format!(
                "expected a length of time, found the number {0}; write {0}s for seconds, {0}m for minutes or {0}h for hours",
                *s.text
            ));
            return None;
        }
        self.parsed()
    }

    /// Reads one of several words.
    pub fn choice<T: Copy>(&self, choices: &[(&'static str, T)]) -> Option<T> {
        let text = self.text()?;
        if let Some((_, value)) = choices.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
        self.fault(format!(
            "{text:?} is not one of {}{}",
            words.join(", "),
            did_you_mean(text, words.iter().copied())
        ));
        None
    }

    /// Reads a map of any content.
    pub fn document(&self) -> Option<Document> {
        match yaml::from_node(self.node) {
            Ok(map) => Some(Document(map)),
            Err(fault) => {
                let path = if fault.path.is_empty() {
                    self.path.clone()
                } else {
                    format!("{}.{}", self.path, fault.path)
                };
                self.notes.0.borrow_mut().push(Fault { path, ..fault });
                None
            }
        }
    }

    /// Reads a list of texts with a format.
    pub fn list_of<T: FromStr<Err: Display>>(self) -> Vec<T> {
        self.items().iter().filter_map(Cursor::parsed).collect()
    }
}

/// A map that is being read field by field.
pub(crate) struct Object<'a> {
    cursor: Cursor<'a>,
    fields: BTreeMap<&'a str, (usize, &'a Node)>,
    known: Vec<&'static str>,
}

impl<'a> Object<'a> {
    /// Returns a field's value; `None` when it is absent or null.
    pub fn field(&mut self, name: &'static str) -> Option<Cursor<'a>> {
        self.known.push(name);
        let (line, node) = *self.fields.get(name)?;
        let path = join(&self.cursor.path, name);
        (!node.is_null()).then_some(Cursor {
            node,
            line,
            path,
            notes: self.cursor.notes,
        })
    }

    /// Returns a field's value, and records its absence. `way_out` completes the sentence `is missing; …`.
    pub fn required(&mut self, name: &'static str, way_out: &str) -> Option<Cursor<'a>> {
        let found = self.field(name);
        if found.is_none() {
            self.missing(name, way_out);
        }
        found
    }

    /// Records that a field is missing.
    pub fn missing(&self, name: &str, way_out: &str) {
        let fault = Fault {
            line: self.cursor.line,
            path: join(&self.cursor.path, name),
            message: format!("is missing; {way_out}"),
        };
        self.cursor.notes.0.borrow_mut().push(fault);
    }

    /// Records a fault of a field inside of a field of this map, which was read before.
    pub fn fault_in(&self, field: &str, inner: &str, message: String) {
        let place = self.fields.get(field).and_then(|(_, node)| node.entry(inner));
        let fault = Fault {
            line: place.map_or(self.cursor.line, |(key, _)| key.line),
            path: join(&join(&self.cursor.path, field), inner),
            message,
        };
        self.cursor.notes.0.borrow_mut().push(fault);
    }

    /// Returns true if a field is in the document, valid or not.
    pub fn has(&self, name: &str) -> bool {
        self.fields.get(name).is_some_and(|(_, node)| !node.is_null())
    }

    /// Returns the map's own cursor.
    pub fn here(&self) -> &Cursor<'a> {
        &self.cursor
    }

    /// Records each field that was never asked for.
    pub fn finish(self) {
        for (name, (line, _)) in &self.fields {
            if self.known.contains(name) {
                continue;
            }
            let hint = did_you_mean(name, self.known.iter().copied());
            let message = format!("unknown field{hint}; known here: {}", self.known.join(", "));
            let fault = Fault {
                line: *line,
                path: join(&self.cursor.path, name),
                message,
            };
            self.cursor.notes.0.borrow_mut().push(fault);
        }
    }
}
