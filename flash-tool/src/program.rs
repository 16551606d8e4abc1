//! The command as a program of its own, under whatever name.

use std::error::Error;
use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser};
use clap_complete::Shell;

use crate::args::Args;

/// The program's own name.
const OWN_NAME: &str = "bedplate-flash";

/// Puts a Bedplate bundle on a disk, or into a file.
#[derive(Debug, Parser)]
#[command(version)]
struct Program {
    #[command(flatten)]
    flash: Args,
    /// Prints a completion script for a shell, and does nothing else.
    #[arg(long, value_name = "SHELL", exclusive = true)]
    completions: Option<Shell>,
}

/// Runs the command as program `name`; the first of `args` is the name it was called by.
///
/// `bedplate flash` calls it too, before its own parser: its global options share names with the options here.
pub fn main_from(name: &'static str, args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut command = Program::command().name(name).bin_name(name);
    let parsed = command
        .try_get_matches_from_mut(args)
        .and_then(|matches| Program::from_arg_matches(&matches));
    let program = match parsed {
        Ok(program) => program,
        Err(error) => return told(&error.format(&mut command)),
    };
    if let Some(shell) = program.completions {
        // A shell completes programs: as a command of another one, the tool is completed as the program that it is, too.
        let program = if name.contains(' ') { OWN_NAME } else { name };
        let mut command = Program::command().name(program).bin_name(program);
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut command, program, &mut script);
        return end(stdio::write(&script));
    }
    end(program.flash.run())
}

/// Prints what clap has to say, and gives the exit code: help and versions are results, which may be lost as any other.
pub fn told(error: &clap::Error) -> ExitCode {
    match error.print() {
        Err(_) if !error.use_stderr() => ExitCode::from(stdio::LOST),
        _ => ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1)),
    }
}

/// Returns why it ends, if there is a reason, and gives the exit code.
fn end<E: Error + 'static>(result: Result<(), E>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            stdio::note(format_args!("error: {}", chain(&error)));
            stdio::exit_code(&error)
        }
    }
}

/// Writes an error and all that led to it on one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
