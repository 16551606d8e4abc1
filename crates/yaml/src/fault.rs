//! What is wrong with a document, and where.

use std::fmt;

/// What is wrong at one place of a document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// The line, counted from 1; 0 when the fault has no place of its own (an override, an empty document).
    pub line: usize,
    /// The path of the value, such as `machine.network.interfaces[0].addresses[1]`; empty for the document.
    pub path: String,
    /// What is wrong, and what is expected instead.
    pub message: String,
}

impl Fault {
    /// Makes a fault of a line as a whole.
    pub fn at(line: usize, message: impl Into<String>) -> Self {
        Self {
            line,
            path: String::new(),
            message: message.into(),
        }
    }

    /// Returns path and message, without the line: for whoever writes it in front.
    pub fn without_line(&self) -> String {
        match self.path.as_str() {
            "" => self.message.clone(),
            path => format!("{path}: {}", self.message),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.without_line())?;
        if self.line > 0 {
            write!(f, " (line {})", self.line)?;
        }
        Ok(())
    }
}

impl std::error::Error for Fault {}

/// Makes the path of a name in a map; a name that would look like several steps is quoted.
pub fn join(path: &str, name: &str) -> String {
    match path {
        "" => name.to_owned(),
        _ if name.contains(['.', '[', ' ']) => format!("{path}[\"{name}\"]"),
        _ => format!("{path}.{name}"),
    }
}
