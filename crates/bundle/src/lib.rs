//! The bundle: the one file that is published for a board and version.
//!
//! A bundle is a signed manifest, an index, and frames: pieces of images, each compressed separately, so that any of
//! them can be fetched, verified and written on its own. The manifest has the hash of the index and the index has the
//! hashes of the frames; a reader returns only verified bytes. A bundle may also carry [`Patches`], which make pieces of
//! the slot image from an older one; the result is verified against the slot's hash tree. [`Writer`] makes bundles,
//! [`Reader`] opens them; [`Header`], [`Index`] and [`Decoder`] are the parts of the reader, for fetching by range. This
//! crate signs nothing and writes to no disk.

mod align;
mod cache;
mod codes;
mod decode;
mod error;
mod frame;
mod header;
mod index;
mod new_patch;
mod patch;
mod reader;
mod sealed;
mod steps;
mod writer;

pub use cache::Cache;
pub use decode::Decoder;
pub use error::{Error, WriteError};
pub use frame::{Codec, ENTRY_LEN, Frame, FrameError};
pub use header::{Header, HeaderError, Span};
pub use index::{Index, IndexError};
pub use new_patch::NewPatch;
pub use patch::{
    EXTENT, Patch, PatchError, Patches, SETS_ALIGN, SOURCE_ALIGN, SOURCES_COUNT, SOURCES_MAX, Source,
};
pub use reader::{Preamble, Reader};
pub use sealed::Sealed;
pub use writer::Writer;

pub use manifest::ImageName;

/// Bytes of the header.
pub const HEADER_LEN: usize = 4096;

/// Where the manifest starts.
pub const MANIFEST_AT: u64 = HEADER_LEN as u64;

/// Where the signatures start: right after the longest manifest.
pub const SIGNATURES_AT: u64 = MANIFEST_AT + manifest::MAX_JSON as u64;

/// Where the index starts. It is fixed: the index contains offsets in the file and the manifest contains the hash of the
/// index, so neither could be made if these offsets depended on the manifest's length.
pub const INDEX_AT: u64 = SIGNATURES_AT + SIGNATURES_MAX as u64;

/// The longest signatures.
pub const SIGNATURES_MAX: usize = 16 * 1024;

/// Frames start at the next multiple of this after the index.
pub const FRAMES_ALIGN: u64 = 4096;

/// Offsets of frames in their image are multiples of this.
pub const FRAME_ALIGN: u64 = 4096;

/// The most bytes that one frame decompresses to.
pub const FRAME_MAX: usize = 4 * 1024 * 1024;
