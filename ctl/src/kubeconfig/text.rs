//! The lines of a kubeconfig, and where its entries are in them.

use std::ops::Range;

use yaml::{Node, Value};
use zeroize::Zeroizing;

use super::merge::quoted;

/// Lines that are changed. Numbers are those of the original, from 0; changes are made from the last line to the first.
pub(super) struct Lines {
    lines: Vec<Zeroizing<String>>,
    /// The first lines of the document's keys, in order.
    keys: Vec<usize>,
    changes: Vec<(Range<usize>, Zeroizing<String>)>,
    appended: Zeroizing<String>,
}

/// Where an entry of a list is, or belongs.
pub(super) enum Block {
    /// There is no such list.
    Missing,
    /// The list has no entries, and stands on these lines with its key.
    Empty {
        /// The lines.
        at: Range<usize>,
    },
    /// The entry is on these lines.
    Entry {
        /// The lines.
        at: Range<usize>,
        /// What stands before its dash.
        indent: String,
    },
    /// The entry is not there, and belongs before this line.
    End {
        /// The line.
        before: usize,
        /// What stands before the dashes of the others.
        indent: String,
    },
    /// Entries are not on lines of their own.
    Flow,
}

impl Lines {
    /// Splits a text that was read as `root`.
    pub(super) fn new(text: &str, root: &Node) -> Self {
        let mut lines: Vec<_> = text
            .split_inclusive('\n')
            .map(|line| Zeroizing::new(line.to_owned()))
            .collect();
        if let Some(last) = lines.last_mut()
            && !last.ends_with('\n')
        {
            last.push('\n');
        }
        let keys = match &root.value {
            Value::Map(entries) => entries.iter().map(|(key, _)| key.line - 1).collect(),
            _ => Vec::new(),
        };
        Self {
            lines,
            keys,
            changes: Vec::new(),
            appended: Zeroizing::default(),
        }
    }

    /// Finds the entry of this name in a list.
    pub(super) fn block(&self, root: &Node, list: &str, name: &str) -> Block {
        let Some((key, node)) = root.entry(list) else {
            return Block::Missing;
        };
        let start = key.line - 1;
        let items = match &node.value {
            Value::List(items) => items.as_slice(),
            _ => &[],
        };
        let end = self.end_of_key(start);
        if items.is_empty() {
            // Nothing, or `[]`: on the line of its key, or below it.
            let at = start..self.trimmed(start + 1..end, "").max(start + 1);
            return Block::Empty { at };
        }
        let starts: Option<Vec<(usize, String)>> = items.iter().map(|item| self.dash(item)).collect();
        let Some(starts) = starts else { return Block::Flow };
        let indent = starts[0].1.clone();
        if starts.iter().any(|(_, other)| *other != indent) {
            return Block::Flow;
        }
        let bounds = |index: usize| {
            let next = starts.get(index + 1).map_or(end, |(line, _)| *line);
            starts[index].0..self.trimmed(starts[index].0 + 1..next, &indent)
        };
        let named = |item: &Node| match item.entry("name") {
            Some((
                _,
                Node {
                    value: Value::Scalar(scalar),
                    ..
                },
            )) => scalar.text.trim_end() == name,
            _ => false,
        };
        match items.iter().position(named) {
            Some(index) => Block::Entry {
                at: bounds(index),
                indent,
            },
            None => Block::End {
                before: bounds(items.len() - 1).end,
                indent,
            },
        }
    }

    /// Finds the line of an item's dash, and what stands before it.
    fn dash(&self, item: &Node) -> Option<(usize, String)> {
        let line = item.line.checked_sub(1)?;
        let text = self.lines.get(line)?;
        let rest = text.trim_start_matches(' ');
        let indent = &text[..text.len() - rest.len()];
        rest.starts_with("- ").then(|| (line, indent.to_owned()))
    }

    /// Returns the line behind everything of the key that starts on a line.
    fn end_of_key(&self, start: usize) -> usize {
        let later = self.keys.iter().copied().filter(|line| *line > start);
        later.min().unwrap_or(self.lines.len())
    }

    /// Returns the end of a range without the empty lines and comments at its end: they belong to what follows.
    fn trimmed(&self, range: Range<usize>, indent: &str) -> usize {
        let ours = |line: &str| {
            let rest = line.trim_start_matches(' ');
            let comment = rest.starts_with('#') && line.len() - rest.len() <= indent.len();
            !(rest.trim().is_empty() || comment || line.starts_with("..."))
        };
        let last = range.clone().rev().find(|index| ours(&self.lines[*index]));
        last.map_or(range.start, |last| last + 1)
    }

    /// Puts a text in the place of lines.
    pub(super) fn replace(&mut self, at: Range<usize>, text: &str) {
        self.changes.push((at, Zeroizing::new(text.to_owned())));
    }

    /// Adds a text at the end.
    pub(super) fn append(&mut self, text: &str) {
        self.appended.push_str(text);
    }

    /// Sets a key of the document to a text.
    pub(super) fn set(&mut self, root: &Node, key: &str, value: &str) {
        let line = format!("{key}: {}\n", quoted(value).as_str());
        match root.entry(key) {
            Some((key, _)) => {
                let start = key.line - 1;
                let end = self.trimmed(start + 1..self.end_of_key(start), "");
                self.replace(start..end, &line);
            }
            None => self.append(&line),
        }
    }

    /// Makes the changes, and returns the text.
    pub(super) fn into_text(mut self) -> Zeroizing<String> {
        // What is put in before a line comes after what replaces that line.
        self.changes
            .sort_by_key(|(at, _)| std::cmp::Reverse((at.start, at.end)));
        let mut lines = self.lines;
        for (at, text) in self.changes {
            lines.splice(at, [text]);
        }
        // A document may end with a mark.
        let end = lines.iter().position(|line| line.starts_with("..."));
        lines.insert(end.unwrap_or(lines.len()), self.appended);
        let mut text = Zeroizing::new(String::with_capacity(lines.iter().map(|line| line.len()).sum()));
        for line in &lines {
            text.push_str(line);
        }
        text
    }
}
