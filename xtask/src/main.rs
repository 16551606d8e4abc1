//! Developer tasks: setup, build, demo, test, e2e, fuzz, lint, lock, bench.
//!
//! One file per task. Tasks call programs (cargo, apt-get, our own tools) and never link the product: xtask compiles in
//! seconds, before anything else does.

mod arch;
mod bill;
mod build;
mod cli;
mod e2e;
mod fuzz;
mod lint;
mod lock;
mod nodes;
mod paths;
mod process;
mod setup;
mod test;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match cli::Args::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            stdio::note(format_args!("error: {error:#}"));
            stdio::exit_code(error.as_ref())
        }
    }
}
