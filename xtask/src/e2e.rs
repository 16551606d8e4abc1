//! `cargo xtask e2e`, `demo` and `bench`: builds everything, then hands over to the `e2e` program.
//!
//! That program (crate `tests/`) owns images, emulators and nodes; this file only sees to it that what it runs is built.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use crate::arch::Arch;
use crate::process::Program;
use crate::setup::{self, Toolchain};
use crate::{nodes, paths};

/// Our programs for this machine, as cargo packages: image builder, flash tool, CLI, and the tests themselves.
const HOST_PACKAGES: [&str; 4] = ["images", "flash-tool", "ctl", "e2e"];
/// A first build of the host's programs.
const BUILD_LIMIT: Duration = Duration::from_secs(40 * 60);

/// Boots real images in an emulator and checks what they do.
#[derive(Debug, Default, clap::Args)]
pub struct Args {
    /// Run only scenarios whose name contains one of these
    names: Vec<String>,
    /// List the scenarios and run none
    #[arg(long)]
    list: bool,
}

impl Args {
    /// Builds what is tested, and runs the scenarios.
    pub fn run(self) -> Result<()> {
        if self.list {
            build_host()?;
            return program("list").run();
        }
        build(&setup::ensure(false)?, &Arch::ALL)?;
        scenarios(&self.names).run()
    }
}

/// Shows a node: builds an image, flashes it, boots it in an emulator and asks it for its status.
#[derive(Debug, clap::Args)]
pub struct Demo {
    /// The board to build for; without it, the emulated board of the architecture
    #[arg(long)]
    board: Option<String>,
    /// The board's architecture
    #[arg(long, value_enum, default_value_t = Arch::Arm64)]
    arch: Arch,
    /// Leave the node running until Ctrl-C
    #[arg(long)]
    keep: bool,
}

impl Demo {
    /// Builds for one architecture and starts the demonstration.
    pub fn run(self) -> Result<()> {
        let toolchain = setup::ensure(false)?;
        build(&toolchain, &[self.arch])?;
        let mut demo = program("demo").args(["--arch", self.arch.name()]);
        if let Some(board) = &self.board {
            demo = demo.args(["--board", board]);
        }
        if self.keep {
            demo = demo.arg("--keep").within(Duration::from_secs(24 * 3600));
        }
        demo.run()
    }
}

/// Measures what Bedplate promises: sizes, memory, times; and prints them as a table.
#[derive(Debug, clap::Args)]
pub struct Bench {}

impl Bench {
    /// Builds the arm64 image and measures.
    pub fn run(self) -> Result<()> {
        build(&setup::ensure(false)?, &[Arch::Arm64])?;
        program("bench").run()
    }
}

/// Builds the programs of the nodes and of this machine.
pub fn build(toolchain: &Toolchain, arches: &[Arch]) -> Result<()> {
    for arch in arches {
        eprintln!("building what runs on an {arch} node");
        nodes::build(toolchain, *arch)?;
    }
    eprintln!("building what runs on this machine");
    build_host()
}

/// Gives the run of the scenarios whose names contain one of the words, or of all.
pub fn scenarios(names: &[String]) -> Program {
    program("run").args(names)
}

/// Builds one of our programs for this machine and gives its path.
pub fn host_program(package: &str, name: &str) -> Result<PathBuf> {
    cargo_build(&[package])?;
    Ok(paths::host_programs().join(name))
}

fn build_host() -> Result<()> {
    cargo_build(&HOST_PACKAGES)
}

fn cargo_build(packages: &[&str]) -> Result<()> {
    let build = Program::new("cargo")
        .args(["build", "--quiet", "--locked"])
        .within(BUILD_LIMIT);
    build
        .args(packages.iter().flat_map(|package| ["--package", package]))
        .run()
}

fn program(command: &str) -> Program {
    Program::new(paths::host_programs().join("e2e"))
        .arg(command)
        .within(Duration::from_secs(90 * 60))
}
