//! Reads an OCI image archive: a tar file that holds an OCI image layout.
//!
//! Source of the format: the Open Containers image specification, `image-layout.md` and `manifest.md`. An image's
//! name is the annotation that `ctr images import` reads, `io.containerd.image.name`, or else the specification's own,
//! which other tools write.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use oci_image::{Descriptor, Index, Manifest, media_type};
use serde::de::DeserializeOwned;

/// The most that an index or manifest may take: containerd's own limit for a manifest.
const DOCUMENT_MAX: u64 = 8 << 20;
/// The most entries an archive may have: a bound on what a broken archive can make us remember.
const ENTRIES_MAX: usize = 4096;

/// The reason why an archive cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ArchiveError {
    #[error("cannot read image archive {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("image archive {path}: {file} is not what an OCI image layout has there")]
    Parse {
        path: PathBuf,
        file: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("image archive {path}: {what}")]
    Layout { path: PathBuf, what: String },
}

/// A part of an image: where its bytes lie in the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// Its content's name, `sha256:` and 64 hexadecimal digits.
    pub digest: String,
    /// Its length in bytes.
    pub size: u64,
    /// Where it starts in the archive, in bytes.
    pub offset: u64,
}

/// One image of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Its reference, such as `localhost/bedplate/pause:0.1`; empty if the archive does not say.
    pub name: String,
    /// The media type of its manifest.
    pub media_type: String,
    /// Its manifest.
    pub manifest: Blob,
    /// Its configuration.
    pub config: Blob,
    /// Its layers, lowest first.
    pub layers: Vec<Blob>,
}

impl Image {
    /// Lists its blobs in the order in which they should be stored: the manifest, which refers to the rest, last.
    pub fn blobs(&self) -> impl Iterator<Item = &Blob> {
        self.layers.iter().chain([&self.config, &self.manifest])
    }
}

/// An archive that was read: its images, and where their blobs lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// The file.
    pub path: PathBuf,
    /// The images it holds.
    pub images: Vec<Image>,
}

impl Archive {
    /// Reads which images an archive holds. Blobs are located, not read: containerd checks their digests.
    pub fn open(path: &Path) -> Result<Self, ArchiveError> {
        let file = File::open(path).map_err(|source| read_error(path, source))?;
        Source { path, file }.archive()
    }
}

struct Source<'a> {
    path: &'a Path,
    file: File,
}

impl Source<'_> {
    fn archive(mut self) -> Result<Archive, ArchiveError> {
        let files = self.files()?;
        let index: Index = self.document(&files, "index.json")?;
        if index.manifests.is_empty() {
            return Err(self.layout("index.json names no image"));
        }
        let mut images = Vec::new();
        let mut names = BTreeSet::new();
        for descriptor in &index.manifests {
            let image = self.image(&files, descriptor)?;
            if !names.insert(image.name.clone()) && !image.name.is_empty() {
                return Err(self.layout(format!("two images have the name {}", image.name)));
            }
            images.push(image);
        }
        Ok(Archive {
            path: self.path.to_owned(),
            images,
        })
    }

    /// Lists the archive's files with the place and length of their contents.
    fn files(&self) -> Result<BTreeMap<String, (u64, u64)>, ArchiveError> {
        let mut files = BTreeMap::new();
        let mut tar = tar::Archive::new(&self.file);
        let entries = tar
            .entries_with_seek()
            .map_err(|source| read_error(self.path, source))?;
        for entry in entries {
            let entry = entry.map_err(|source| read_error(self.path, source))?;
            if !entry.header().entry_type().is_file() {
                continue;
            }
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            files.insert(name, (entry.raw_file_position(), entry.size()));
            if files.len() > ENTRIES_MAX {
                return Err(self.layout(format!("more than {ENTRIES_MAX} files")));
            }
        }
        Ok(files)
    }

    fn image(
        &mut self,
        files: &BTreeMap<String, (u64, u64)>,
        descriptor: &Descriptor,
    ) -> Result<Image, ArchiveError> {
        let name = descriptor.name().unwrap_or_default();
        if !media_type::MANIFESTS.contains(&descriptor.media_type.as_str()) {
            return Err(self.layout(format!(
                "image {} is a {}; only an image manifest of one platform can be imported",
                if name.is_empty() { &descriptor.digest } else { name },
                descriptor.media_type
            )));
        }
        let manifest = self.blob(files, descriptor)?;
        let body: Manifest = self.document(files, &blob_path(&manifest.digest))?;
        let config = self.blob(files, &body.config)?;
        let layers = body
            .layers
            .iter()
            .map(|layer| self.blob(files, layer))
            .collect::<Result<_, _>>()?;
        Ok(Image {
            name: name.to_owned(),
            media_type: descriptor.media_type.clone(),
            manifest,
            config,
            layers,
        })
    }

    fn blob(
        &self,
        files: &BTreeMap<String, (u64, u64)>,
        descriptor: &Descriptor,
    ) -> Result<Blob, ArchiveError> {
        let digest = &descriptor.digest;
        let Some(&(offset, size)) = files.get(&blob_path(digest)) else {
            return Err(self.layout(format!("blob {digest} is not in the archive")));
        };
        if size != descriptor.size {
            return Err(self.layout(format!(
                "blob {digest} has {size} bytes, but {} are announced",
                descriptor.size
            )));
        }
        Ok(Blob {
            digest: digest.clone(),
            size,
            offset,
        })
    }

    /// Reads and parses one of the archive's JSON files.
    fn document<T: DeserializeOwned>(
        &mut self,
        files: &BTreeMap<String, (u64, u64)>,
        name: &str,
    ) -> Result<T, ArchiveError> {
        let Some(&(offset, size)) = files.get(name) else {
            return Err(self.layout(format!("no {name}: is this an OCI image layout?")));
        };
        if size > DOCUMENT_MAX {
            return Err(self.layout(format!(
                "{name} has {size} bytes; at most {DOCUMENT_MAX} are read"
            )));
        }
        let bytes = self
            .read(offset, size)
            .map_err(|source| read_error(self.path, source))?;
        serde_json::from_slice(&bytes).map_err(|source| ArchiveError::Parse {
            path: self.path.to_owned(),
            file: name.to_owned(),
            source,
        })
    }

    fn read(&mut self, offset: u64, size: u64) -> io::Result<Vec<u8>> {
        self.file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        Read::by_ref(&mut self.file).take(size).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn layout(&self, what: impl Into<String>) -> ArchiveError {
        ArchiveError::Layout {
            path: self.path.to_owned(),
            what: what.into(),
        }
    }
}

fn read_error(path: &Path, source: io::Error) -> ArchiveError {
    ArchiveError::Read {
        path: path.to_owned(),
        source,
    }
}

/// Returns where a blob is stored; a digest of another kind names no file of an archive.
fn blob_path(digest: &str) -> String {
    oci_image::blob_path(digest).unwrap_or_else(|| "blobs/?".to_owned())
}

#[cfg(test)]
mod tests;
