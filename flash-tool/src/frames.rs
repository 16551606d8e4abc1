//! Where the unpacked frames of a bundle come from: from the bundle itself, or from whoever unpacks it for several cards.

use std::io::{Read, Seek};
use std::sync::Arc;

use bundle::{Frame, Reader};

/// The unpacked frames of a bundle.
pub(crate) trait Frames: Send {
    /// Returns an unpacked frame, whose hash was checked.
    fn unpacked(&mut self, frame: &Frame) -> Result<Arc<Vec<u8>>, bundle::Error>;
}

impl<R: Read + Seek + Send> Frames for Reader<R> {
    fn unpacked(&mut self, frame: &Frame) -> Result<Arc<Vec<u8>>, bundle::Error> {
        let mut out = Vec::with_capacity(frame.raw_len as usize);
        self.frame(frame, &mut out).map(|()| Arc::new(out))
    }
}
