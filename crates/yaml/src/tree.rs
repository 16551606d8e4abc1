//! A YAML document as a tree with line numbers.
//!
//! It is bounded before it is built: depth, number of values, and no aliases, so no document of the allowed size can cost
//! more than a few megabytes.

mod input;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError};
use zeroize::Zeroizing;

use crate::Fault;
use input::Tabs;

/// How large a document may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// The maximum depth of nesting.
    pub depth: usize,
    /// The maximum number of values in a document.
    pub values: usize,
}

/// What is allowed of a file of ours: the deepest schema needs eight, and the largest sensible config has a few hundred values.
const LIMITS: Limits = Limits {
    depth: 32,
    values: 10_000,
};

/// A value and the line it starts on.
#[derive(Debug)]
pub struct Node {
    /// The line, from 1.
    pub line: usize,
    /// The value.
    pub value: Value,
}

/// The content of a node. Types of plain scalars are distinguished by [`Scalar`].
#[derive(Debug)]
pub enum Value {
    /// A text, number, truth value or nothing.
    Scalar(Scalar),
    /// Values in the document's order.
    List(Vec<Node>),
    /// Keys in the document's order, each with its own line; keys are unique.
    Map(Vec<(Key, Node)>),
}

/// A key of a map.
#[derive(Debug)]
pub struct Key {
    /// The line, from 1.
    pub line: usize,
    /// The name.
    pub name: String,
}

/// A text, and whether it was quoted: `5` is a number, `"5"` is not.
#[derive(Debug)]
pub struct Scalar {
    /// The text, without quotes; wiped when it is dropped, since it may be a secret.
    pub text: Zeroizing<String>,
    /// Set when it stood without quotes, on one line.
    pub plain: bool,
}

impl Node {
    /// Returns true if the value is null: `key:` or `key: null`.
    pub fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(s) if s.plain && matches!(s.text.as_str(), "" | "~" | "null"))
    }

    /// Finds the entry of this name in a map.
    pub fn entry(&self, name: &str) -> Option<(&Key, &Node)> {
        let Value::Map(entries) = &self.value else {
            return None;
        };
        let found = entries.iter().find(|(key, _)| key.name == name);
        found.map(|(key, node)| (key, node))
    }

    /// Returns the kind of the value for a message.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Scalar(_) if self.is_null() => "nothing",
            Value::Scalar(s) if !s.plain => "a text",
            Value::Scalar(s) if matches!(s.text.as_str(), "true" | "false") => "true or false",
            Value::Scalar(s) if is_number(&s.text) => "a number",
            Value::Scalar(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }
}

/// Returns true for numbers. `nan` and `inf`, which Rust would parse, are texts in YAML.
fn is_number(text: &str) -> bool {
    text.bytes()
        .all(|b| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'))
        && text.parse::<f64>().is_ok_and(f64::is_finite)
}

/// A list or map that is still being read.
enum Open {
    List {
        line: usize,
        items: Vec<Node>,
    },
    Map {
        line: usize,
        entries: Vec<(Key, Node)>,
        key: Option<Key>,
    },
}

/// Reads the only document in `text`. The caller limits its length.
///
/// # Errors
///
/// The first fault: what is not YAML, and what is more than this crate allows.
pub fn read(text: &str) -> Result<Node, Fault> {
    read_within(text, LIMITS)
}

/// Reads the only document in `text`, if it is not larger than this.
pub(crate) fn read_within(text: &str, limits: Limits) -> Result<Node, Fault> {
    let Limits { depth, values: most } = limits;
    let mut open: Vec<Open> = Vec::new();
    let mut root: Option<Node> = None;
    let mut values = 0;
    // The error of a truncated document is on the line after the last one, which does not exist.
    let last = text.lines().count().max(1);
    for event in Parser::new(Tabs::new(text)) {
        let (event, span) = event.map_err(|error| malformed(&error, last))?;
        let line = span.start.line().min(last);
        let anchored = match &event {
            Event::Scalar(_, _, anchor, tag) => *anchor != 0 || tag.is_some(),
            Event::SequenceStart(anchor, tag) | Event::MappingStart(anchor, tag) => {
                *anchor != 0 || tag.is_some()
            }
            Event::Alias(_) => true,
            _ => false,
        };
        if anchored {
            return Err(Fault::at(
                line,
                "anchors, aliases and tags are not allowed; write the value out",
            ));
        }
        let done = match event {
            Event::DocumentStart(_) if root.is_some() => {
                return Err(Fault::at(
                    line,
                    "a second document starts here; one file is one document",
                ));
            }
            Event::SequenceStart(..) => {
                open.push(Open::List {
                    line,
                    items: Vec::new(),
                });
                None
            }
            Event::MappingStart(..) => {
                open.push(Open::Map {
                    line,
                    entries: Vec::new(),
                    key: None,
                });
                None
            }
            Event::Scalar(text, style, _, _) => {
                let scalar = Scalar {
                    text: Zeroizing::new(text.into_owned()),
                    plain: style == ScalarStyle::Plain,
                };
                Some(Node {
                    line,
                    value: Value::Scalar(scalar),
                })
            }
            Event::SequenceEnd | Event::MappingEnd => open.pop().map(|closed| match closed {
                Open::List { line, items } => Node {
                    line,
                    value: Value::List(items),
                },
                Open::Map { line, entries, .. } => Node {
                    line,
                    value: Value::Map(entries),
                },
            }),
            _ => None,
        };
        if open.len() > depth {
            return Err(Fault::at(
                line,
                format!("values are nested more than {depth} deep"),
            ));
        }
        let Some(node) = done else { continue };
        values += 1;
        if values > most {
            return Err(Fault::at(line, format!("more than {most} values")));
        }
        match open.last_mut() {
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { entries, key, .. }) => match key.take() {
                Some(key) => entries.push((key, node)),
                None => *key = Some(as_key(node, entries)?),
            },
            None => root = Some(node),
        }
    }
    root.ok_or_else(|| Fault::at(0, "the document is empty"))
}

/// Makes the key of a map from a node; keys are texts, and unique.
fn as_key(node: Node, entries: &[(Key, Node)]) -> Result<Key, Fault> {
    let line = node.line;
    let Value::Scalar(scalar) = node.value else {
        return Err(Fault::at(line, "the key of a map must be a text"));
    };
    if let Some((first, _)) = entries.iter().find(|(key, _)| key.name == *scalar.text) {
        let message = format!(
            "key {:?} is listed twice; first on line {}",
            *scalar.text, first.line
        );
        return Err(Fault::at(line, message));
    }
    Ok(Key {
        line,
        name: (*scalar.text).clone(),
    })
}

fn malformed(error: &ScanError, last: usize) -> Fault {
    let line = error.marker().line().min(last);
    Fault::at(line, format!("not YAML: {}", error.info()))
}
