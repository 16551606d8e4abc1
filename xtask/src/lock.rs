//! `cargo xtask lock`: renews the lock file of the Debian packages that images are made of.

use std::time::Duration;

use anyhow::Result;

use crate::build;
use crate::process::Program;

/// Renews the lock of the packages in images to what the mirror has now.
#[derive(Debug, clap::Args)]
pub struct Args {}

impl Args {
    /// Lets `bedplate-image lock` write it.
    pub fn run(self) -> Result<()> {
        let program = build::program("images", "bedplate-image")?;
        Program::new(program)
            .arg("lock")
            .within(Duration::from_secs(20 * 60))
            .run()
    }
}
