//! An older release to make patches from.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use bundle::{ImageName, Reader};
use manifest::model::Version;
use manifest::{Digest, TrustedKey};

/// A bundle of an older release of the same board, verified.
pub struct Older {
    path: PathBuf,
    reader: Reader<BufReader<File>>,
}

/// A fault of a bundle that patches were to be made from.
#[derive(Debug, thiserror::Error)]
pub enum OlderError {
    /// It cannot be read, or is not to be trusted.
    #[error("cannot make patches from {path}; if another key signed it, name that with --trust")]
    Bundle {
        /// The bundle.
        path: PathBuf,
        /// Why.
        #[source]
        source: bundle::Error,
    },
    /// It is of another board.
    #[error(
        "{path} is for board {actual:?}, but this build is for {expected:?}: patches lead from one release of a board to another"
    )]
    Board {
        /// The bundle.
        path: PathBuf,
        /// Its board.
        actual: String,
        /// The board that is built.
        expected: String,
    },
    /// Its slot image is not new.
    #[error("{path} has the same slot image as {other}: give it once")]
    Twice {
        /// The bundle.
        path: PathBuf,
        /// What has the same.
        other: String,
    },
}

impl Older {
    /// Opens the bundles of older releases: each signed by one of `keys`, of this board, and no image twice.
    pub fn open_all(paths: &[PathBuf], keys: &[TrustedKey], board: &str) -> Result<Vec<Older>, OlderError> {
        let mut all: Vec<Older> = Vec::new();
        for path in paths {
            let older = Self::open(path, keys, board)?;
            if let Some(twin) = all.iter().find(|other| other.root_hash() == older.root_hash()) {
                return Err(older.twin_of(twin.path.display().to_string()));
            }
            all.push(older);
        }
        Ok(all)
    }

    fn open(path: &Path, keys: &[TrustedKey], board: &str) -> Result<Older, OlderError> {
        let fault = |source| OlderError::Bundle {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(|error| fault(error.into()))?;
        let reader = Reader::open(BufReader::new(file), keys).map_err(fault)?;
        let actual = &reader.manifest().board;
        if actual != board {
            return Err(OlderError::Board {
                path: path.to_owned(),
                actual: actual.clone(),
                expected: board.to_owned(),
            });
        }
        Ok(Older {
            path: path.to_owned(),
            reader,
        })
    }

    /// Returns the version of the release.
    pub fn version(&self) -> Version {
        self.reader.manifest().version
    }

    /// Returns the root hash of its slot image.
    pub fn root_hash(&self) -> Digest {
        self.reader.manifest().slot.verity.root_hash
    }

    /// Makes the error for a slot image that is listed twice.
    pub fn twin_of(&self, other: String) -> OlderError {
        OlderError::Twice {
            path: self.path.clone(),
            other,
        }
    }

    /// Reads and checks all of the slot image but its hash tree.
    pub fn data(&mut self) -> Result<Vec<u8>, OlderError> {
        let len = self.reader.manifest().slot.verity.tree_offset;
        let frames = self.reader.index().of(ImageName::SLOT).to_vec();
        let (mut data, mut piece) = (Vec::with_capacity(len as usize), Vec::new());
        for frame in frames.iter().take_while(|frame| frame.raw_offset < len) {
            self.reader
                .frame(frame, &mut piece)
                .map_err(|source| OlderError::Bundle {
                    path: self.path.clone(),
                    source,
                })?;
            data.extend_from_slice(&piece);
        }
        // A frame may go on into the hash tree.
        data.truncate(len as usize);
        Ok(data)
    }
}
