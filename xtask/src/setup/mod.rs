//! `cargo xtask setup`: makes sure that everything a build or a test needs is on this machine.
//!
//! What is needed is a table (`needs`); what is missing is installed with apt-get, after saying what and why. The Rust
//! toolchain for the nodes is found by `rust`. It never changes where apt takes packages from, never removes or downgrades
//! a package, and does nothing, quickly, when nothing is missing.

mod apt;
mod backports;
mod needs;
mod plan;
mod room;
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
        stdio::line(format_args!(
            "everything is in place; nodes are built with {toolchain}"
        ))?;
        Ok(())
    }
}

/// Installs the tools that `bench` compares with, unless they are there.
pub fn ensure_peers() -> Result<()> {
    ensure_also(needs::peers())
}

/// Installs what runs clusters of containers, unless it is there.
pub fn ensure_containers() -> Result<()> {
    ensure_also(needs::containers())
}

fn ensure_also(needs: Vec<needs::Need>) -> Result<()> {
    let missing = missing(needs);
    let want = missing.iter().map(|need| apt::Want::new(&need.package, need.why));
    let want: Vec<apt::Want> = want.collect();
    if want.is_empty() {
        return Ok(());
    }
    apt::install(&want, false)?;
    all_present(&missing)
}

fn missing(needs: Vec<needs::Need>) -> Vec<needs::Need> {
    needs.into_iter().filter(|need| !need.is_present()).collect()
}

fn all_present(needs: &[needs::Need]) -> Result<()> {
    match needs.iter().find(|need| !need.is_present()) {
        Some(need) => bail!("{} was installed, but {} is not there", need.package, need.probe),
        None => Ok(()),
    }
}

/// Makes this machine ready and gives the toolchain that builds the nodes' programs.
pub fn ensure(yes: bool) -> Result<Toolchain> {
    room::warn();
    let missing = missing(needs::needs());
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
        all_present(&missing)?;
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
