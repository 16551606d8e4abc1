//! `bedplate-flash`: puts a bundle on a disk.

use std::io;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use clap_complete::Shell;

/// Puts a Bedplate bundle on a disk, or into a file.
#[derive(Parser)]
#[command(name = "bedplate-flash", version)]
struct Program {
    #[command(flatten)]
    flash: flash_tool::Args,
    /// Prints a completion script for a shell, and does nothing else.
    #[arg(long, value_name = "SHELL", exclusive = true)]
    completions: Option<Shell>,
}

fn main() -> ExitCode {
    let program = Program::parse();
    if let Some(shell) = program.completions {
        clap_complete::generate(
            shell,
            &mut Program::command(),
            "bedplate-flash",
            &mut io::stdout(),
        );
        return ExitCode::SUCCESS;
    }
    match program.flash.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {:#}", anyhow::Error::from(error));
            ExitCode::FAILURE
        }
    }
}
