//! `cargo xtask build`: the programs of nodes, and those of this machine.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use crate::arch::Arch;
use crate::process::Program;
use crate::setup::{self, Toolchain};
use crate::{nodes, paths};

/// Our programs for this machine, as cargo packages: image builder, flash tool, CLI, and the end-to-end tests.
const HOST_PACKAGES: [&str; 4] = ["images", "flash-tool", "ctl", "e2e"];
/// A first build of them.
const LIMIT: Duration = Duration::from_secs(40 * 60);

/// Builds what runs on nodes, into target/node, and what runs on this machine, into target/debug.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Build for nodes of these architectures only
    #[arg(long, value_enum)]
    arch: Vec<Arch>,
}

impl Args {
    /// Builds and says where the programs are.
    pub fn run(self) -> Result<()> {
        let arches = if self.arch.is_empty() {
            Arch::ALL.to_vec()
        } else {
            self.arch
        };
        all(&setup::ensure(false)?, &arches)?;
        for arch in arches {
            println!("{}", paths::node_programs().join(arch.name()).display());
        }
        println!("{}", paths::host_programs().display());
        Ok(())
    }
}

/// Builds the programs of nodes, and those of this machine.
pub fn all(toolchain: &Toolchain, arches: &[Arch]) -> Result<()> {
    for arch in arches {
        eprintln!("building what runs on an {arch} node");
        nodes::build(toolchain, *arch)?;
    }
    eprintln!("building what runs on this machine");
    host()
}

/// Builds the programs of this machine.
pub fn host() -> Result<()> {
    cargo_build(&HOST_PACKAGES)
}

/// Builds one of our programs for this machine and gives its path.
pub fn program(package: &str, name: &str) -> Result<PathBuf> {
    cargo_build(&[package])?;
    Ok(paths::host_programs().join(name))
}

fn cargo_build(packages: &[&str]) -> Result<()> {
    let build = Program::new("cargo").args(["build", "--locked"]).within(LIMIT);
    build
        .args(packages.iter().flat_map(|package| ["--package", package]))
        .run()
}
