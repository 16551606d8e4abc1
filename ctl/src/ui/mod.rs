//! Output: results on standard output, everything else on standard error.

mod human;
mod table;

pub use human::{chain, moment, moment_ms};
pub use quantity::{human_bytes as bytes, human_time as duration};
pub use table::{Show, Table, clean};

use std::process::ExitCode;

use clap::ValueEnum;
use serde::Serialize;

/// A format of results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// Tables and text for people.
    #[default]
    Table,
    /// JSON.
    Json,
    /// YAML.
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

/// Writes a value as JSON or YAML. Tables are drawn by the caller.
pub fn value<T: Serialize>(format: Format, value: &T) -> anyhow::Result<()> {
    match format {
        Format::Table | Format::Json => line(&serde_json::to_string_pretty(value)?),
        Format::Yaml => write(yaml::to_string(value)?.as_bytes()),
    }
}

/// Writes one item of a stream: a line of JSON, or a YAML document.
pub fn item<T: Serialize>(format: Format, value: &T) -> anyhow::Result<()> {
    match format {
        Format::Table | Format::Json => line(&serde_json::to_string(value)?),
        Format::Yaml => write(format!("---\n{}", yaml::to_string(value)?).as_bytes()),
    }
}

/// Prints a message on standard error.
pub fn note(text: &str) {
    stdio::note(format_args!("bedplate: {text}"));
}

/// Reports the error that ends the program, and returns its exit code. A closed pipe, as by `head`, is not reported.
pub fn fail(error: &anyhow::Error) -> ExitCode {
    if !stdio::lost(error.as_ref()).is_some_and(stdio::Lost::is_closed) {
        note(&chain(error.as_ref()));
    }
    stdio::exit_code(error.as_ref())
}
