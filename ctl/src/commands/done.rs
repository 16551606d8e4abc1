//! The result of calls with an empty response.

use serde::Serialize;

use crate::ui::{Show, Table};

/// An action that was done on a node: the result of calls with an empty response.
#[derive(Debug, Serialize)]
pub struct Done {
    what: &'static str,
    name: String,
    done: &'static str,
}

impl Done {
    /// Returns what was done to the thing of that name; an empty name is the node itself.
    pub fn new(what: &'static str, name: impl Into<String>, done: &'static str) -> Self {
        let name = name.into();
        Self { what, name, done }
    }
}

impl Show for Done {
    fn show(&self, table: &mut Table) {
        table.headings(&["WHAT", "NAME", "DONE"]).row([
            self.what.into(),
            self.name.clone(),
            self.done.into(),
        ]);
    }

    fn detail(&self) -> Option<String> {
        let name = if self.name.is_empty() {
            String::new()
        } else {
            format!(" {}", self.name)
        };
        Some(format!("{}{name}: {}\n", self.what, self.done))
    }
}
