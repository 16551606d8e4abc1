//! The images that a bundle carries, by name. The set is open: a loader boots a slot whose bundle carries images that it
//! has never heard of, since only tools that write disks act upon them.

use alloc::format;
use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Digest;

/// The most images that a manifest may list: a frame's entry in the index names one by a byte.
pub const MAX_IMAGES: usize = 64;

/// An image in a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Image {
    /// Which image.
    pub name: ImageName,
    /// Where on the disk it goes, for images that belong to no partition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// Its length.
    pub size: u64,
    /// Hash of its bytes; of `esp`: of its frames' bytes in order.
    pub sha256: Digest,
}

impl Image {
    /// Tells whether it may have holes, which are written to no disk: free space of a file system may hold anything.
    pub fn may_have_holes(&self) -> bool {
        self.name == ImageName::ESP
    }
}

/// The name of an image: lower-case letters, digits and `-`, at most [`ImageName::MAX_LEN`] of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageName {
    /// The name, with zeros behind it.
    text: [u8; ImageName::MAX_LEN],
}

impl ImageName {
    /// The slot image. Always there.
    pub const SLOT: ImageName = ImageName::literal("slot");
    /// The EFI system partition.
    pub const ESP: ImageName = ImageName::literal("esp");
    /// The vendor's boot code in front of the partitions.
    pub const BOOTCODE: ImageName = ImageName::literal("bootcode");
    /// Characters of the longest name.
    pub const MAX_LEN: usize = 24;

    const fn literal(name: &str) -> ImageName {
        let mut text = [0; ImageName::MAX_LEN];
        let mut at = 0;
        while at < name.len() {
            text[at] = name.as_bytes()[at];
            at += 1;
        }
        ImageName { text }
    }

    /// Returns the name as the manifest writes it.
    pub fn as_str(&self) -> &str {
        let len = self.text.iter().position(|byte| *byte == 0);
        let name = &self.text[..len.unwrap_or(Self::MAX_LEN)];
        // Only ASCII gets in.
        core::str::from_utf8(name).unwrap_or_default()
    }

    /// Tells whether an image of this name may or must say where on the disk it goes; `None` for a name that is not known.
    pub(crate) fn is_raw(&self) -> Option<bool> {
        match *self {
            ImageName::SLOT | ImageName::ESP => Some(false),
            ImageName::BOOTCODE => Some(true),
            _ => None,
        }
    }
}

impl FromStr for ImageName {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || name.len() > Self::MAX_LEN || !name.bytes().all(plain) {
            return Err(format!(
                "{name:?} is not the name of an image: at most {} lower-case letters, digits and '-'",
                Self::MAX_LEN
            ));
        }
        Ok(ImageName::literal(name))
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl Serialize for ImageName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ImageName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        name.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn a_name_is_written_as_it_was_read() {
        for name in [
            "slot",
            "esp",
            "bootcode",
            "esp-b",
            "a",
            "abcdefghijklmnopqrstuvwx",
        ] {
            let read: ImageName = name.parse().unwrap();
            assert_eq!(read.to_string(), name);
            assert_eq!(serde_json::to_string(&read).unwrap(), format!("{name:?}"));
        }
        assert_eq!("esp".parse(), Ok(ImageName::ESP));
        for wrong in ["", "ESP", "esp b", "esp\0", "é", "abcdefghijklmnopqrstuvwxy"] {
            let error = wrong.parse::<ImageName>().unwrap_err();
            assert!(error.contains("is not the name of an image"), "{error}");
        }
    }
}
