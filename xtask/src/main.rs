//! Developer tasks: setup, demo, test, e2e, lint, lock, bench.
//!
//! One file per task. Tasks call programs (cargo, apt-get, our own tools) and never link the product: xtask compiles in
//! seconds, before anything else does.

mod arch;
mod cli;
mod nodes;
mod paths;
mod process;
mod setup;

use clap::Parser as _;

fn main() -> anyhow::Result<()> {
    cli::Args::parse().run()
}
