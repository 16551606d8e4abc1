//! How answers are shown: results on standard output, everything else on standard error.

mod human;
mod table;

pub use human::{chain, moment, moment_ms};
pub use quantity::{human_bytes as bytes, human_time as duration};
pub use table::{Show, Table, clean};

use std::process::ExitCode;

use clap::ValueEnum;
use serde::Serialize;

/// How to show answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
    /// For both.
    Yaml,
}

/// Writes a result.
pub fn write(bytes: &[u8]) -> anyhow::Result<()> {
    Ok(stdio::write(bytes)?)
}

/// Writes a line of a result.
pub fn line(text: &str) -> anyhow::Result<()> {
    write(format!("{text}\n").as_bytes())
}

/// Writes a value as JSON or YAML; in a table's place the caller shows it itself.
pub fn value<T: Serialize>(format: Format, value: &T) -> anyhow::Result<()> {
    match format {
        Format::Table | Format::Json => line(&serde_json::to_string_pretty(value)?),
        Format::Yaml => write(serde_yaml::to_string(value)?.as_bytes()),
    }
}

/// Writes one of many values as they come: a line of JSON, or a document of YAML.
pub fn one_of_many<T: Serialize>(format: Format, value: &T) -> anyhow::Result<()> {
    match format {
        Format::Table | Format::Json => line(&serde_json::to_string(value)?),
        Format::Yaml => write(format!("---\n{}", serde_yaml::to_string(value)?).as_bytes()),
    }
}

/// Says something beside the result.
pub fn note(text: &str) {
    stdio::note(format_args!("bedplate: {text}"));
}

/// Says why it ends; a reader that has seen enough, as `head` has, needs no telling.
pub fn fail(error: &anyhow::Error) -> ExitCode {
    if !stdio::lost(error.as_ref()).is_some_and(stdio::Lost::is_closed) {
        note(&chain(error.as_ref()));
    }
    stdio::exit_code(error.as_ref())
}
