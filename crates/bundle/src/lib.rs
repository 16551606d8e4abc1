//! The bundle: the one file that is published for a board and version.
//!
//! A bundle is a signed manifest, an index, and frames: pieces of images, each compressed on its own, so that any of
//! them can be fetched, checked and written alone. The manifest vouches for the index and the index for every frame;
//! nothing a reader hands out is unchecked. It may also carry [`Patches`], which make pieces of the slot image out of an
//! older one; what they make, the slot's hash tree vouches for. [`Writer`] makes bundles, [`Reader`] opens them; [`Header`], [`Index`] and
//! [`Decoder`] are the reader's parts for those who fetch by range. Signs nothing and writes to no disk.

mod align;
mod codes;
mod decode;
mod error;
mod frame;
mod header;
mod index;
mod memory;
mod new_patch;
mod patch;
mod reader;
mod sealed;
mod steps;
mod writer;

pub use decode::Decoder;
pub use error::{Error, WriteError};
pub use frame::{Codec, ENTRY_LEN, Frame, FrameError};
pub use header::{Header, HeaderError, Span};
pub use index::{Index, IndexError};
pub use memory::Memory;
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

/// Where the signatures start: right behind the longest manifest.
pub const SIGNATURES_AT: u64 = MANIFEST_AT + manifest::MAX_JSON as u64;

/// Where the index starts. Fixed, because the index names places in the file and the manifest vouches for the index:
/// neither could be made if these places depended on the manifest's length.
pub const INDEX_AT: u64 = SIGNATURES_AT + SIGNATURES_MAX as u64;

/// The longest signatures.
pub const SIGNATURES_MAX: usize = 16 * 1024;

/// Frames start at the next multiple of this behind the index.
pub const FRAMES_ALIGN: u64 = 4096;

/// Offsets of frames in their image are multiples of this.
pub const FRAME_ALIGN: u64 = 4096;

/// The most bytes that one frame unpacks to.
pub const FRAME_MAX: usize = 4 * 1024 * 1024;
