//! Runs a host tool, and says well what went wrong with it.

use std::io;
use std::process::{Command, Stdio};

/// A host tool did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It could not be started.
    #[error("cannot run {program:?}; is it installed?")]
    Start {
        /// The program.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It ran and failed.
    #[error("{program} failed ({status}): {said}")]
    Failed {
        /// The program.
        program: String,
        /// Its exit status.
        status: std::process::ExitStatus,
        /// The last lines it wrote.
        said: String,
    },
}

/// Runs a command to its end and gives what it wrote to its standard output.
pub fn output(command: &mut Command) -> Result<String, ProcessError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let done = command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| ProcessError::Start {
            program: program.clone(),
            source,
        })?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    // Most tools write their complaint to standard error, some only to standard output.
    let said = if done.stderr.is_empty() {
        &done.stdout
    } else {
        &done.stderr
    };
    let said = String::from_utf8_lossy(said);
    let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    let said = lines[lines.len().saturating_sub(5)..].join("; ");
    Err(ProcessError::Failed {
        program,
        status: done.status,
        said,
    })
}
