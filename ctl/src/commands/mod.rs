//! The commands: what can be typed is parsed by clap into one of these, which then runs.

pub mod apply;
pub mod completions;
pub mod config;
pub mod context;
pub mod cpu;
pub mod disks;
pub mod files;
pub mod flash;
pub mod generate;
pub mod get;
pub mod get_config;
pub mod health;
pub mod logs;
pub mod memory;
pub mod mounts;
pub mod net;
pub mod power;
pub mod processes;
pub mod rollout;
pub mod services;
pub mod status;
pub mod time;
pub mod upgrade;
pub mod version;

use serde::Serialize;

use crate::ui::{Show, Table};

/// An action that was done on a node: the result of calls with an empty response.
#[derive(Debug, Serialize)]
struct Done {
    what: &'static str,
    name: String,
    done: &'static str,
}

impl Done {
    fn new(what: &'static str, name: impl Into<String>, done: &'static str) -> Self {
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
