//! `cargo xtask build`: the programs of nodes, and those of this machine.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use crate::arch::Arch;
use crate::process::Program;
use crate::setup::{self, Toolchain};
use crate::{nodes, paths};

/// Our programs for whoever makes images and keeps nodes: image builder, flash tool, CLI.
const TOOLS: [&str; 3] = ["images", "flash-tool", "ctl"];
/// The same, and what tests run them with.
const FOR_TESTS: [&str; 4] = ["images", "flash-tool", "ctl", "e2e"];
/// A first build of them.
const LIMIT: Duration = Duration::from_secs(40 * 60);

/// Builds what runs on nodes, into target/node, and the tools for this machine, optimised, into target/tools.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Build for nodes of these architectures only
    #[arg(long, value_enum)]
    arch: Vec<Arch>,
    /// Build the programs of this machine as tests run them, into target/debug: compiled sooner, slower to run
    #[arg(long)]
    for_tests: bool,
    /// Build what runs on nodes, and nothing for this machine
    #[arg(long, conflicts_with = "for_tests")]
    nodes: bool,
    /// Build only the programs of this machine, as tests run them, in one go with all tests: after `cargo test --workspace`
    /// hardly anything is left to compile
    #[arg(long, conflicts_with_all = ["for_tests", "nodes", "arch"])]
    with_tests: bool,
}

impl Args {
    /// Builds and says where the programs are.
    pub fn run(self) -> Result<()> {
        let arches = if self.arch.is_empty() {
            Arch::ALL.to_vec()
        } else {
            self.arch
        };
        let toolchain = setup::ensure(false)?;
        if self.with_tests {
            with_tests()?;
            return Ok(stdio::line(paths::host_programs().display())?);
        }
        nodes(&toolchain, &arches)?;
        for arch in arches {
            stdio::line(paths::node_programs().join(arch.name()).display())?;
        }
        if self.nodes {
            return Ok(());
        }
        let folder = if self.for_tests {
            host()?;
            paths::host_programs()
        } else {
            stdio::note("building the tools for this machine, optimised");
            cargo_build(&TOOLS, &["--profile", "tools"])?;
            paths::tools()
        };
        Ok(stdio::line(folder.display())?)
    }
}

/// Builds the programs of nodes, and those of this machine as tests run them.
pub fn all(toolchain: &Toolchain, arches: &[Arch]) -> Result<()> {
    nodes(toolchain, arches)?;
    host()
}

fn nodes(toolchain: &Toolchain, arches: &[Arch]) -> Result<()> {
    for arch in arches {
        stdio::note(format_args!("building what runs on an {arch} node"));
        nodes::build(toolchain, *arch)?;
    }
    Ok(())
}

/// Builds the programs of this machine as tests run them.
pub fn host() -> Result<()> {
    stdio::note("building what runs on this machine");
    cargo_build(&FOR_TESTS, &[])
}

/// Builds them with what tests depend on: as `cargo test` compiles all that they are made of.
fn with_tests() -> Result<()> {
    cargo_build(&[], &["--workspace", "--bins", "--tests"])
}

/// Builds one of our programs for this machine and gives its path.
pub fn program(package: &str, name: &str) -> Result<PathBuf> {
    cargo_build(&[package], &[])?;
    Ok(paths::host_programs().join(name))
}

fn cargo_build(packages: &[&str], options: &[&str]) -> Result<()> {
    let build = Program::new("cargo").args(["build", "--locked"]).args(options);
    build
        .args(packages.iter().flat_map(|package| ["--package", package]))
        .within(LIMIT)
        .run()
}
