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
    /// Padding is not zero.
    #[error("byte {0} of the bundle should be zero: the file is damaged, fetch it again")]
    Padding(u64),
    /// The manifest cannot be trusted.
    #[error("the bundle is refused")]
    Manifest(#[from] VerifyError),
    /// The index cannot be trusted.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The file is longer or shorter than its index says.
    #[error("the bundle should have {expected} bytes, but has {actual}: fetch it again")]
    Length {
        /// The length by the index.
        expected: u64,
        /// The actual length.
        actual: u64,
    },
    /// A frame is damaged.
    #[error("the piece of image {image} at byte {offset} is damaged: fetch the bundle again")]
    Frame {
        /// The image.
        image: ImageName,
        /// The frame's offset in the image.
        offset: u64,
        /// What is wrong with it.
        source: FrameError,
    },
    /// The index of a patch set cannot be trusted.
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

/// Why a bundle cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Reading the image, or writing the bundle, failed.
    #[error("cannot write the bundle")]
    Io(#[from] io::Error),
    /// The frames that were added do not match the manifest.
    #[error("readers would refuse this bundle")]
    Index(#[from] IndexError),
    /// The patches that were added do not form a set.
    #[error("readers would refuse this bundle")]
    Patches(#[from] PatchError),
    /// The manifest lists other patches than those that were added.
    #[error("the manifest does not list the patches that were added to the bundle")]
    OtherPatches,
    /// The manifest is not valid.
    #[error("readers would refuse this bundle")]
    Manifest(#[from] ParseError),
    /// The signatures are too long.
    #[error("{0} bytes of signatures are more than {SIGNATURES_MAX}")]
    Signatures(usize),
    /// A section is too long.
    #[error(transparent)]
    Header(#[from] HeaderError),
}
