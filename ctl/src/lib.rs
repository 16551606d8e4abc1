//! The control CLI: `bedplate`.
//!
//! Knows nodes by their API only. [`cli`] is the command line; each of its commands is a file of `commands`, and `options`
//! are the options that they share. A command calls one or several nodes at once (`fan_out`), over connections made by
//! `connect`, in a `tunnel` through an endpoint if asked, and prints the results as a table, JSON or YAML (`ui`). Files that nodes request
//! are `pushed`. The client config, with its contexts and keys, is `config`; `kubeconfig` adds clusters to the files of kubectl.

pub mod cli;

mod address;
mod commands;
mod config;
mod confirm;
mod connect;
mod difference;
mod explain;
mod fan_out;
mod kubeconfig;
mod live_config;
mod local;
mod options;
mod patches;
mod pushed;
mod recording;
mod session;
mod stream;
mod tunnel;
mod ui;
mod user_file;

use std::process::ExitCode;

use clap::Parser as _;

/// Runs the program. Exits with 0 on success, with 1 when anything failed, and with 2 when the command line is wrong.
pub fn main() -> ExitCode {
    // Its options share names with ours, so it is parsed on its own.
    if let Some(code) = commands::flash::run_if_first(std::env::args_os()) {
        return code;
    }
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return flash_tool::print_message(&error),
    };
    match cli.run() {
        Ok(code) => code,
        Err(error) => ui::fail(&error),
    }
}
