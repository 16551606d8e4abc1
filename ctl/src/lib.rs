//! The control CLI: `bedplate`.
//!
//! Knows nodes by their API only. [`cli`] is what can be typed; each of its commands is a file of `commands`.
//! A command asks one node or several at once (`fan`), over connections made by `connect`, and shows the answers
//! as a table, JSON or YAML (`ui`). The client's own file, with its contexts and keys, is `config`.

pub mod cli;

mod address;
mod ask;
mod commands;
mod config;
mod connect;
mod explain;
mod fan;
mod noted;
mod options;
mod session;
mod stream;
mod ui;
mod written;

use std::process::ExitCode;

use clap::Parser as _;

/// Runs the program: 0 when all went well, 1 when something failed, 2 when the command line is wrong.
pub fn main() -> ExitCode {
    // Its options share names with ours, so it is parsed on its own.
    if let Some(code) = commands::flash::in_front(std::env::args_os()) {
        return code;
    }
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return flash_tool::told(&error),
    };
    match cli.run() {
        Ok(code) => code,
        Err(error) => ui::fail(&error),
    }
}
