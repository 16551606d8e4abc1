//! Where the image of a workload comes from, and its name in containerd; and how it gets there.

use std::path::{Path, PathBuf};

use backend::PullCount;
use containerd::{Archive, Containerd, Image, WORKLOADS, import};
use machine_config::v1alpha1::{Registry, WorkloadImage};
use machine_config::value::ImageReference;
use state::ControllerError;

use crate::pull::pull;

/// The most archives of the system that are looked at.
const ARCHIVES_MAX: usize = 256;

/// Where an image comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// From a registry.
    Registry(ImageReference),
    /// From an archive on DATA.
    File(PathBuf),
    /// From an archive of the system, by its name there.
    Bundled(ImageReference),
}

impl Source {
    /// Returns where an image comes from; the config's rules let exactly one field be there.
    pub fn of(image: &WorkloadImage) -> Option<Self> {
        let file = image.file.as_ref().map(|path| Source::File(path.as_str().into()));
        let bundled = image.bundled.clone().map(Source::Bundled);
        image.reference.clone().map(Source::Registry).or(file).or(bundled)
    }

    /// Returns the image's name in containerd.
    pub fn name(&self) -> String {
        match self {
            Source::Registry(reference) => reference.full(),
            Source::File(path) => format!("file{}", path.display()),
            Source::Bundled(reference) => format!("bundled/{}", reference.full()),
        }
    }

    /// Returns true if the image may be another one after each start of the system, under the same name.
    pub fn follows_system(&self) -> bool {
        !matches!(self, Source::Registry(_))
    }
}

/// Brings an image into containerd, if it is not there.
///
/// # Errors
///
/// One sentence about what is missing, damaged or out of reach.
pub async fn fetch(
    source: &Source,
    registries: &[Registry],
    socket: &Path,
    images: &Path,
    lease: &str,
) -> Result<(), ControllerError> {
    let containerd = Containerd::connect(socket, WORKLOADS)
        .await?
        .with_lease(&format!("fetch-{lease}"));
    let name = source.name();
    match source {
        Source::Registry(reference) => {
            pull(&containerd, reference, &name, registries, &PullCount::default()).await?;
            Ok(())
        }
        Source::File(path) => {
            let path = path.clone();
            let archive = tokio::task::spawn_blocking(move || Archive::open(&path)).await??;
            let [image] = archive.images.as_slice() else {
                return Err(ControllerError::msg(format!(
                    "{} holds {} images; expected one",
                    archive.path.display(),
                    archive.images.len()
                )));
            };
            bring(&containerd, &archive, image, name).await
        }
        Source::Bundled(reference) => {
            let (folder, wanted) = (images.to_owned(), reference.full());
            let found = tokio::task::spawn_blocking(move || bundled(&folder, &wanted)).await??;
            bring(&containerd, &found.0, &found.1, name).await
        }
    }
}

async fn bring(
    containerd: &Containerd,
    archive: &Archive,
    image: &Image,
    name: String,
) -> Result<(), ControllerError> {
    let image = Image {
        name,
        ..image.clone()
    };
    import(containerd, archive, &image).await?;
    Ok(())
}

/// Finds an image by its name in the archives of a folder.
fn bundled(folder: &Path, wanted: &str) -> Result<(Archive, Image), ControllerError> {
    let mut known = Vec::new();
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries.take(ARCHIVES_MAX) {
        let path = entry.path();
        if path.extension().is_none_or(|extension| extension != "tar") {
            continue;
        }
        let archive = Archive::open(&path)?;
        for image in &archive.images {
            let full = image.name.parse::<ImageReference>().map(|name| name.full());
            if full.is_ok_and(|full| full == wanted) {
                let image = image.clone();
                return Ok((archive, image));
            }
            known.push(image.name.clone());
        }
    }
    known.sort();
    Err(ControllerError::msg(format!(
        "the system has no image {wanted}; it has: {}. Build one that does with `bedplate-image build --container FILE`",
        known.join(", ")
    )))
}
