//! End-to-end tests: real images, flashed by the real flash tool, booted in QEMU, asked by the real CLI.
//!
//! Also shows (`demo`) and measures (`bench`) the same things. `cargo xtask` builds what it runs.

mod bench;
mod cli;
mod console;
mod demo;
mod disk;
mod emulator;
mod host_parameters;
mod kubernetes_programs;
mod local_cluster;
mod machine;
mod metadata;
mod node;
mod once;
mod pace;
mod ports;
mod qmp;
mod run;
mod scenario;
mod scenarios;
mod server;
mod side_by_side;
mod tools;
mod workshop;

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
