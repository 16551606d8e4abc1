//! Loads and starts the kernel, which is an EFI program itself.
#![expect(unsafe_code)]
// UNSAFETY: gives the loaded image a pointer to its command line.

use uefi::boot::{self, LoadImageSource};
use uefi::proto::loaded_image::LoadedImage;
use uefi::{CString16, Handle, Result, Status};

use crate::slot::VerifiedPart;

/// A kernel that the firmware has placed in memory; unloaded when dropped.
pub struct Kernel {
    image: Handle,
}

impl Kernel {
    /// Makes the firmware load the kernel. The verified bytes are copied, so that they can be freed.
    pub fn load(part: &VerifiedPart) -> Result<Kernel> {
        let source = LoadImageSource::FromBuffer {
            buffer: part.bytes(),
            file_path: None,
        };
        Ok(Kernel {
            image: boot::load_image(boot::image_handle(), source)?,
        })
    }

    /// Starts the kernel. Returns only when it fails.
    pub fn start(self, command_line: &str) -> Status {
        let Ok(options) = CString16::try_from(command_line) else {
            return Status::INVALID_PARAMETER;
        };
        let set = boot::open_protocol_exclusive::<LoadedImage>(self.image).map(|mut image| {
            // SAFETY: `options` lives until `start_image` has come back, and nobody starts the image after that.
            unsafe { image.set_load_options(options.as_ptr().cast(), options.num_bytes() as u32) };
        });
        match set.and_then(|()| boot::start_image(self.image)) {
            Ok(()) => Status::SUCCESS,
            Err(error) => error.status(),
        }
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        // The firmware has already unloaded an image that ended, and reports that.
        let _gone = boot::unload_image(self.image);
    }
}
