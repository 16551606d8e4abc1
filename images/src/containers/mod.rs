//! Container images that go into the system image, for workloads.
//!
//! [`archive`] reads a file, bounded. [`layout`] finds the image in an OCI image layout, [`docker`] in what `docker save` writes,
//! and [`check`](mod@check) takes each layer apart: what a node would refuse after months in a drawer is refused here. Nothing is unpacked,
//! and an image with a manifest keeps it, so that its digest is the one of its registry.

mod archive;
mod check;
mod docker;
mod layout;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use board::Arch;
use machine_config::value::ImageReference;

use crate::kubernetes::unpacked;
use crate::oci;
use crate::tree::{Node, Tree, TreeError};

/// The folder of the root from which machined imports images.
pub const FOLDER: &str = "usr/share/bedplate/images";
/// The longest name: what machined takes in a machine config.
const EXPECTED_NAME: &str = "[REGISTRY/]NAME[:TAG] in lower case, such as camera:1.4";

/// An argument of `--container`: a file, with the name of the image if it is to have another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// The name.
    pub name: Option<ImageReference>,
    /// The archive.
    pub path: PathBuf,
}

/// A checked image, packed as nodes import it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Its full name, such as `docker.io/library/nginx:1.27`.
    pub name: String,
    /// The digest of its manifest, `sha256:` and 64 hexadecimal digits.
    pub digest: String,
    /// The size of its layers on a node, in bytes.
    pub unpacked: u64,
    /// The OCI archive that nodes import.
    pub archive: Vec<u8>,
}

/// A container image could not be used.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// An archive is not what it must be.
    #[error("container image {path} cannot be used")]
    Archive {
        /// The archive.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: Fault,
    },
    /// Two images have one name.
    #[error("two container images are called {name}; give one another name, with --container NAME=FILE")]
    Twice {
        /// The name.
        name: String,
    },
}

/// What is wrong with an archive.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It could not be read.
    #[error("it cannot be read")]
    Read(#[from] io::Error),
    /// One of its files is not JSON of the right form.
    #[error("{file} in it is not what an image has there")]
    Parse {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// It is whole, and not an image for the board.
    #[error("{0}")]
    Image(String),
}

/// An image as an archive has it, before it is checked.
struct Found<'a> {
    /// What the archive calls it.
    names: BTreeSet<String>,
    /// The media type of its manifest.
    media_type: String,
    /// Its manifest.
    manifest: Vec<u8>,
    /// Its configuration.
    config: &'a [u8],
    /// Its layers, lowest first.
    layers: Vec<Layer<'a>>,
}

/// A layer, with how it is compressed.
struct Layer<'a> {
    digest: String,
    packing: Packing,
    data: &'a [u8],
}

/// How a layer is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packing {
    Plain,
    Gzip,
    Zstd,
}

impl Given {
    /// Reads `[NAME=]FILE`. What stands before the first `=` is a name if it could be one, so `./a=b.tar` is a file.
    pub fn parse(text: &str) -> Self {
        let named = text
            .split_once('=')
            .and_then(|(name, path)| Some((name.parse().ok()?, path)));
        match named {
            Some((name, path)) => Self {
                name: Some(name),
                path: path.into(),
            },
            None => Self {
                name: None,
                path: text.into(),
            },
        }
    }
}

/// Reads and checks images. `taken` are names that the system image's own images have.
///
/// # Errors
/// Fails on an archive that cannot be read, has no image for the architecture or a broken one, and on two images of one name.
pub fn load(given: &[Given], taken: &[&str], arch: Arch) -> Result<Vec<Container>, ContainerError> {
    let mut names: BTreeSet<String> = taken.iter().map(|&name| full(name)).collect();
    let mut all = Vec::new();
    for one in given {
        let fault = |source| ContainerError::Archive {
            path: one.path.clone(),
            source,
        };
        let container = read(&one.path, one.name.as_ref(), arch).map_err(fault)?;
        if !names.insert(container.name.clone()) {
            return Err(ContainerError::Twice { name: container.name });
        }
        all.push(container);
    }
    Ok(all)
}

fn full(name: &str) -> String {
    let reference = name.parse::<ImageReference>();
    reference.map_or_else(|_| name.to_owned(), |reference| reference.full())
}

fn read(path: &Path, name: Option<&ImageReference>, arch: Arch) -> Result<Container, Fault> {
    let files = archive::read(unpacked(path)?)?;
    let found = if files.get("oci-layout").is_some() {
        layout::find(&files, arch)?
    } else if files.get("manifest.json").is_some() {
        docker::find(&files)?
    } else {
        return Err(Fault::Image(format!(
            "it is neither an OCI archive nor one of docker save: it has no oci-layout and no manifest.json; {SAVE}"
        )));
    };
    let name = match name {
        Some(name) => name.clone(),
        None => own_name(&found.names)?,
    };
    let digest = oci_image::digest(&found.manifest);
    if let Some(pinned) = name.digest().filter(|pinned| *pinned != digest) {
        return Err(Fault::Image(format!(
            "its digest is {digest}, and its name says {pinned}"
        )));
    }
    let unpacked = check::check(&found, arch)?;
    let blobs: Vec<&[u8]> = found
        .layers
        .iter()
        .map(|layer| layer.data)
        .chain([found.config])
        .collect();
    let mut archive = Vec::new();
    let name = name.full();
    oci::pack(
        &mut archive,
        &name,
        arch,
        &found.media_type,
        &found.manifest,
        &blobs,
    )?;
    Ok(Container {
        name,
        digest,
        unpacked,
        archive,
    })
}

/// How people get an archive that is one.
const SAVE: &str = "make one with `podman save --format oci-archive`, `skopeo copy … oci-archive:FILE:NAME` or `docker save`";

/// Chooses the name that an archive gives its image.
fn own_name(names: &BTreeSet<String>) -> Result<ImageReference, Fault> {
    // A tag alone is what some tools leave of a name.
    let whole = names.iter().filter(|name| name.contains([':', '/']));
    let mut references: Vec<ImageReference> = whole.filter_map(|name| name.parse().ok()).collect();
    references.sort_by_key(ImageReference::full);
    references.dedup_by_key(|reference| reference.full());
    match references.len() {
        1 => Ok(references.remove(0)),
        0 => Err(Fault::Image(format!(
            "it does not say its name; give one, with --container NAME=FILE, where NAME is {EXPECTED_NAME}"
        ))),
        _ => {
            let all: Vec<String> = references.iter().map(ToString::to_string).collect();
            Err(Fault::Image(format!(
                "it has several names; choose one with --container NAME=FILE: {}",
                all.join(", ")
            )))
        }
    }
}

/// Adds images to a root.
pub(crate) fn add(tree: &mut Tree, containers: &[Container]) -> Result<(), TreeError> {
    for container in containers {
        let file = container.name.replace(['/', ':', '@', '[', ']'], "_");
        tree.add(
            &format!("{FOLDER}/{file}.tar"),
            Node::text(container.archive.clone()),
            &format!("the container image {}", container.name),
        )?;
    }
    Ok(())
}
