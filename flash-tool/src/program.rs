//! The command as a separate program, under any name.

use std::error::Error;
use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser};
use clap_complete::Shell;

use crate::args::Args;

/// The program's name.
const OWN_NAME: &str = "bedplate-flash";

/// Writes a Bedplate bundle to a disk or a file.
#[derive(Debug, Parser)]
#[command(version)]
struct Program {
    #[command(flatten)]
    flash: Args,
    /// Prints a completion script for a shell, and exits.
    #[arg(long, value_name = "SHELL", exclusive = true)]
    completions: Option<Shell>,
}

/// Runs the command as program `name`; the first of `args` is the name it was called by.
///
/// `bedplate flash` also calls it, before its own parser: its global options share names with the options here.
pub fn main_from(name: &'static str, args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut command = Program::command().name(name).bin_name(name);
    let parsed = command
        .try_get_matches_from_mut(args)
        .and_then(|matches| Program::from_arg_matches(&matches));
    let program = match parsed {
        Ok(program) => program,
        Err(error) => return print_message(&error.format(&mut command)),
    };
    if let Some(shell) = program.completions {
        // A shell completes programs: as a command of another one, the tool is also completed as the program that it is.
        let program = if name.contains(' ') { OWN_NAME } else { name };
        let mut command = Program::command().name(program).bin_name(program);
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut command, program, &mut script);
        return end(stdio::write(&script));
    }
    end(program.flash.run())
}

/// Prints clap's message, and returns the exit code: help and versions are results, which may be lost like any other.
pub fn print_message(error: &clap::Error) -> ExitCode {
    match error.print() {
        Err(_) if !error.use_stderr() => ExitCode::from(stdio::LOST),
        _ => ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1)),
    }
}

/// Prints the error, if there is one, and returns the exit code.
fn end<E: Error + 'static>(result: Result<(), E>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            stdio::note(format_args!("error: {}", chain(&error)));
            stdio::exit_code(&error)
        }
    }
}

/// Formats an error and its causes on one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
