//! Why a bundle cannot be read or written.

use std::io;

use manifest::{ImageName, ParseError, VerifyError};

use crate::{Frame, FrameError, HeaderError, IndexError, PatchError, SIGNATURES_MAX};

/// Why a bundle cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the bundle")]
    Io(#[from] io::Error),
    /// The file is not a bundle, or its header is damaged.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// Bytes that mean nothing are not zero.
    #[error("byte {0} of the bundle should be zero: the file is damaged, fetch it again")]
    Padding(u64),
    /// The manifest is not to be trusted.
    #[error("the bundle is refused")]
    Manifest(#[from] VerifyError),
    /// The index is not to be trusted.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The file is longer or shorter than its index says.
    #[error("the bundle should have {expected} bytes, but has {actual}: fetch it again")]
    Length {
        /// What the index says.
        expected: u64,
        /// What there is.
        actual: u64,
    },
    /// A frame is damaged.
    #[error("the piece of image {image} at byte {offset} is damaged: fetch the bundle again")]
    Frame {
        /// The image.
        image: ImageName,
        /// The frame's place in the image.
        offset: u64,
        /// What is wrong with it.
        source: FrameError,
    },
    /// The index of a patch set is not to be trusted.
    #[error(transparent)]
    Patches(#[from] PatchError),
}

impl Error {
    /// Returns the error of a damaged frame.
    pub fn in_frame(frame: &Frame, source: FrameError) -> Self {
        Error::Frame {
            image: frame.image,
            offset: frame.raw_offset,
            source,
        }
    }
}

/// Why a bundle cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Reading the image, or writing the bundle, failed.
    #[error("cannot write the bundle")]
    Io(#[from] io::Error),
    /// The frames, as they were added, are not what the manifest needs.
    #[error("no reader would take this bundle")]
    Index(#[from] IndexError),
    /// The patches, as they were added, make no set.
    #[error("no reader would take this bundle")]
    Patches(#[from] PatchError),
    /// The manifest speaks of other patches than were added.
    #[error("the manifest does not list the patches that were added to the bundle")]
    OtherPatches,
    /// The manifest is not sound.
    #[error("no reader would take this bundle")]
    Manifest(#[from] ParseError),
    /// The signatures are too long.
    #[error("{0} bytes of signatures are more than {SIGNATURES_MAX}")]
    Signatures(usize),
    /// A section is too long.
    #[error(transparent)]
    Header(#[from] HeaderError),
}
