//! Options that say which container images go into an image.

use anyhow::{Result, bail};
use board::Selection;
use images::containers::{self, Container, Given};

/// The service without which a node runs no containers.
const RUNTIME: &str = "containerd";

/// Container images for workloads.
#[derive(Debug, clap::Args)]
pub struct Containers {
    /// Container image that goes into the system image, so that it is signed, upgraded and rolled back with it: an OCI archive or one
    /// of `docker save`, for the board's architecture. NAME is what workloads call it, such as camera:1.4; the archive's own if not
    /// given. May be given several times.
    #[arg(long, value_name = "[NAME=]FILE")]
    container: Vec<String>,
}

impl Containers {
    /// Reads and checks the images.
    pub fn load(&self, selection: &Selection) -> Result<Vec<Container>> {
        let services = &selection.features.services;
        if !self.container.is_empty() && !services.iter().any(|service| service.name == RUNTIME) {
            bail!(
                "no overlay of this image runs containers: add --overlay {RUNTIME}, or leave out --container"
            );
        }
        let given: Vec<Given> = self.container.iter().map(|text| Given::parse(text)).collect();
        let taken = &selection.features.container_images;
        let taken: Vec<&str> = taken.iter().map(|image| image.reference.as_str()).collect();
        Ok(containers::load(&given, &taken, selection.board.arch)?)
    }

    /// Returns the same options for another run.
    pub fn options(&self) -> Vec<String> {
        let each = self.container.iter();
        each.flat_map(|given| ["--container".to_owned(), given.clone()])
            .collect()
    }
}
