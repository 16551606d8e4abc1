//! `bedplate-image`: builds signed bundles and disk images.

mod cli;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return flash_tool::print_message(&error),
    };
    match cli.run() {
        Ok(code) => code,
        Err(error) => {
            stdio::note(format_args!("error: {error:#}"));
            stdio::exit_code(error.as_ref())
        }
    }
}
