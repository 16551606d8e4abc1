//! A raw disk image for people who use other flashers, with a block map and a checksum beside it.
//!
//! The flash tool's library writes it: there is one writer for cards and for files.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use flash_tool::watch::Silent;
use flash_tool::{ApplyError, BundleFacts, Options, PlanError};
use layout::{Guids, LayoutError};
use manifest::TrustedKey;
use medium::FileMedium;

use crate::{bmap, hash};

/// A disk image could not be made.
#[derive(Debug, thiserror::Error)]
pub enum DiskImageError {
    /// A file could not be read or written.
    #[error("cannot access {path}")]
    Access {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The bundle is not good.
    #[error("cannot read the bundle {path}")]
    Bundle {
        /// The bundle.
        path: PathBuf,
        /// Why.
        #[source]
        source: bundle::Error,
    },
    /// The disk cannot be laid out.
    #[error("cannot lay out the disk image")]
    Layout(#[from] LayoutError),
    /// The bundle does not fit the layout.
    #[error("cannot lay out the disk image")]
    Plan(#[from] PlanError),
    /// Writing failed.
    #[error("cannot write the disk image {path}")]
    Apply {
        /// The image.
        path: PathBuf,
        /// Why.
        #[source]
        source: ApplyError,
    },
}

/// The files of a disk image.
pub struct DiskImage {
    /// The image, a sparse file.
    pub image: PathBuf,
    /// Its block map, by which `bmaptool` writes only what matters, and checks it.
    pub block_map: PathBuf,
    /// Its checksum, for `sha256sum --check`.
    pub checksum: PathBuf,
    /// Its length.
    pub size: u64,
}

/// Writes a bundle to a new disk image of the smallest size that holds it; the node grows it on first boot.
///
/// The same bundle gives the same bytes, so all disks made from one image bear the same disk GUID: two of them in one
/// machine cannot be distinguished. The flash tool draws a new one for each disk.
pub fn make(bundle: &Path, keys: &[TrustedKey]) -> Result<DiskImage, DiskImageError> {
    let access = |path: &Path| {
        let path = path.to_owned();
        move |source| DiskImageError::Access { path, source }
    };
    let fault = |source| DiskImageError::Bundle {
        path: bundle.to_owned(),
        source,
    };
    let file = File::open(bundle).map_err(access(bundle))?;
    let mut reader = bundle::Reader::open(BufReader::new(file), keys).map_err(fault)?;
    let facts = BundleFacts::of(&reader);
    let size = facts.least()?;
    let guids = Guids::from_seed(&facts.manifest().id().0);
    let plan = flash_tool::plan(
        &facts,
        size,
        Options {
            guids,
            config: None,
            discard: false,
        },
    )?;

    let image = bundle.with_extension("img");
    // Another name until it is whole; removed first, so that no old byte remains where nothing is written.
    let partial = bundle.with_extension("img.partial");
    let _ = fs::remove_file(&partial);
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&partial)
        .map_err(access(&partial))?;
    file.set_len(size).map_err(access(&partial))?;
    let mut medium = FileMedium::new(file).map_err(access(&partial))?;
    flash_tool::apply(&plan, &mut reader, &mut medium, &mut Silent).map_err(|source| {
        DiskImageError::Apply {
            path: image.clone(),
            source,
        }
    })?;
    drop(medium);
    fs::rename(&partial, &image).map_err(access(&image))?;

    let ranges: Vec<_> = plan
        .extents()
        .iter()
        .map(|extent| extent.start..extent.end())
        .collect();
    let mut file = File::open(&image).map_err(access(&image))?;
    let text = bmap::write(&mut file, size, &ranges).map_err(access(&image))?;
    let block_map = bundle.with_extension("img.bmap");
    fs::write(&block_map, text).map_err(access(&block_map))?;

    let checksum = bundle.with_extension("img.sha256");
    let name = image.file_name().unwrap_or_default().to_string_lossy();
    let line = format!("{}  {name}\n", hash::of_file(&image).map_err(access(&image))?);
    fs::write(&checksum, line).map_err(access(&checksum))?;
    Ok(DiskImage {
        image,
        block_map,
        checksum,
        size,
    })
}
