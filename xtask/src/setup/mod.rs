//! `cargo xtask setup`: makes sure that everything a build or a test needs is on this machine.
//!
//! What is needed is a table (`needs`); what is missing is installed with apt-get, after saying what and why. The Rust
//! toolchain for the nodes is found by `rust`. It never changes where apt takes packages from, and does nothing, quickly,
//! when nothing is missing.

mod apt;
mod needs;
mod rust;

use anyhow::{Result, bail};

pub use rust::{Toolchain, Uefi};

/// Installs what builds and tests need: cross compilers, emulators, independent checkers.
#[derive(Debug, Default, clap::Args)]
pub struct Args {
    /// Install without asking
    #[arg(long, short)]
    yes: bool,
}

impl Args {
    /// Runs setup and says what it found.
    pub fn run(self) -> Result<()> {
        let toolchain = ensure(self.yes)?;
        println!("everything is in place; nodes are built with {toolchain}");
        Ok(())
    }
}

/// Makes this machine ready and gives the toolchain that builds the nodes' programs.
pub fn ensure(yes: bool) -> Result<Toolchain> {
    let missing: Vec<_> = needs::needs()
        .into_iter()
        .filter(|need| !need.is_present())
        .collect();
    let mut want: Vec<apt::Want> = missing
        .iter()
        .map(|need| apt::Want::new(&need.package, need.why))
        .collect();

    let mut toolchain = rust::find();
    if toolchain.is_none() {
        match rust::packages() {
            Some(packages) => want.extend(packages),
            None => bail!(rust::NO_WAY),
        }
    }
    if !want.is_empty() {
        apt::install(&want, yes)?;
        if let Some(need) = missing.iter().find(|need| !need.is_present()) {
            bail!("{} was installed, but {} is not there", need.package, need.probe);
        }
        toolchain = toolchain.or_else(rust::find);
    }
    match toolchain {
        Some(toolchain) => Ok(toolchain),
        None => bail!(
            "the Rust packages were installed, but they do not have every target; {}",
            rust::NO_WAY
        ),
    }
}
