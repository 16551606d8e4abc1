//! The numbers that stand for images in an index.

use manifest::ImageName;

/// Images in the order of their numbers: three have numbers of their own, all others follow as the manifest lists them.
#[derive(Debug, Clone)]
pub(crate) struct Codes(Vec<ImageName>);

impl Codes {
    /// Numbers the images of a manifest.
    pub fn of(images: impl IntoIterator<Item = ImageName>) -> Codes {
        let mut codes = Codes::default();
        for image in images {
            codes.add(image);
        }
        codes
    }

    /// Returns an image's number, which is new when the image is.
    pub fn add(&mut self, image: ImageName) -> u8 {
        let known = self.code(image);
        if known.is_none() {
            self.0.push(image);
        }
        // A manifest lists at most 64 images, and so a writer that adds more is refused when it writes.
        known.unwrap_or(u8::try_from(self.0.len() - 1).unwrap_or(u8::MAX))
    }

    /// Returns an image's number, or `None` for one that was not added.
    pub fn code(&self, image: ImageName) -> Option<u8> {
        let place = self.0.iter().position(|known| *known == image)?;
        u8::try_from(place).ok()
    }

    /// Returns the image that a number stands for.
    pub fn image(&self, code: u8) -> Option<ImageName> {
        self.0.get(usize::from(code)).copied()
    }
}

impl Default for Codes {
    fn default() -> Self {
        Codes(vec![ImageName::SLOT, ImageName::ESP, ImageName::BOOTCODE])
    }
}
