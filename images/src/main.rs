//! `bedplate-image`: builds signed bundles and disk images.

mod cli;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match cli::Cli::parse().run() {
        Ok(code) => code,
        Err(error) => {
            stdio::note(format_args!("error: {error:#}"));
            stdio::exit_code(error.as_ref())
        }
    }
}
