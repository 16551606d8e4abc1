//! The bundle of an upgrade.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use api::v1alpha1::start_upgrade::Source as RequestSource;
use api::v1alpha1::{BundleData, BundleWant, PushedBundle};
use bundle::Preamble;
use manifest::{Digest, Manifest};

use super::decide::Goal;

/// The bundle of an upgrade.
#[derive(Clone)]
pub enum Source {
    /// On a web server that the nodes can reach.
    Url(String),
    /// In a local file.
    File(Arc<BundleFile>),
}

/// A bundle in a file. Its manifest is not verified here: the node does that.
pub struct BundleFile {
    path: PathBuf,
    file: Mutex<File>,
    length: u64,
    goal: Goal,
    title: String,
}

impl BundleFile {
    /// Opens a bundle.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is not a bundle.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let mut file = File::open(path).with_context(|| format!("cannot open {shown}"))?;
        let length = file
            .metadata()
            .with_context(|| format!("cannot read the size of {shown}"))?
            .len();
        let preamble = Preamble::read(&mut file).with_context(|| format!("cannot use {shown}"))?;
        let manifest = Manifest::parse_unverified(&preamble.json)
            .with_context(|| format!("cannot read the manifest in {shown}"))?;
        let goal = Goal {
            version: manifest.version.to_string(),
            manifest: Digest::of(&preamble.json).to_string(),
        };
        let title = format!(
            "{shown}: version {} for {} ({}), {}",
            manifest.version,
            manifest.board,
            manifest.arch,
            crate::ui::bytes(length)
        );
        Ok(Self {
            path: path.to_owned(),
            file: Mutex::new(file),
            length,
            goal,
            title,
        })
    }

    /// Reads the data that a node requests.
    pub async fn piece(self: &Arc<Self>, want: BundleWant) -> anyhow::Result<BundleData> {
        let length = usize::try_from(want.length).unwrap_or(usize::MAX);
        let end = want.offset.checked_add(want.length.into());
        if length > api::MAX_DATA || end.is_none_or(|end| end > self.length) {
            anyhow::bail!(
                "the node requested {} bytes at offset {} of a bundle of {} bytes: it may run another version of the API",
                want.length,
                want.offset,
                self.length
            );
        }
        let bundle = self.clone();
        let read = tokio::task::spawn_blocking(move || {
            let mut data = vec![0; length];
            let mut file = bundle.file.lock().unwrap_or_else(PoisonError::into_inner);
            file.seek(SeekFrom::Start(want.offset))?;
            file.read_exact(&mut data)?;
            Ok::<_, std::io::Error>(data)
        });
        let data = read
            .await
            .context("reading was interrupted")?
            .with_context(|| format!("cannot read {}", self.path.display()))?;
        Ok(BundleData {
            offset: want.offset,
            data,
        })
    }
}

impl Source {
    /// Returns the source as in a request.
    pub fn request(&self) -> RequestSource {
        match self {
            Source::Url(url) => RequestSource::Url(url.clone()),
            Source::File(bundle) => RequestSource::Pushed(PushedBundle {
                length: bundle.length,
            }),
        }
    }

    /// Returns what is known of the release before a node has read the bundle.
    pub fn goal(&self) -> Goal {
        match self {
            Source::Url(_) => Goal::default(),
            Source::File(bundle) => bundle.goal.clone(),
        }
    }

    /// Returns a description for people.
    pub fn title(&self) -> String {
        match self {
            Source::Url(url) => remote::shown(url),
            Source::File(bundle) => bundle.title.clone(),
        }
    }

    /// Returns the source as in a node's status.
    pub fn shown(&self) -> String {
        match self {
            Source::Url(url) => remote::shown(url),
            Source::File(_) => "pushed".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_files_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.bundle");
        assert!(BundleFile::open(&path).is_err());
        std::fs::write(&path, "#!/bin/sh\n").expect("a file");
        let error = BundleFile::open(&path).err().expect("no bundle");
        let text = crate::ui::chain(error.as_ref());
        assert!(text.contains("this is not a bundle"), "{text}");
    }
}
