//! Sizes in files.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number of bytes, read from a plain number or from one with a unit, such as `512MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// The error for a text that is not a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a size such as 512MiB: {wrong}")]
pub struct NotASize {
    text: String,
    // Part of the same sentence: serde passes on only this error's text.
    wrong: crate::Wrong,
}

impl Size {
    /// Makes a size of this many mebibytes.
    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }
}

impl FromStr for Size {
    type Err = NotASize;

    fn from_str(text: &str) -> Result<Self, NotASize> {
        crate::bytes(text).map(Size).map_err(|wrong| NotASize {
            text: text.to_owned(),
            wrong,
        })
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::show_bytes(self.0))
    }
}

/// Writes whole KiB with a unit, and anything else as a plain number: both can be read back.
impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 >= 1024 && self.0.is_multiple_of(1024) {
            serializer.collect_str(self)
        } else {
            serializer.serialize_u64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SizeVisitor)
    }
}

struct SizeVisitor;

impl Visitor<'_> for SizeVisitor {
    type Value = Size;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size such as 512MiB")
    }

    fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<Size, E> {
        Ok(Size(bytes))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
        text.parse().map_err(E::custom)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Size {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A size: bytes, or a number with KiB, MiB, GiB or another unit of bytes.",
            "anyOf": [
                { "type": "integer", "minimum": 0 },
                { "type": "string", "pattern": crate::BYTES_PATTERN }
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_round_trip() {
        for (text, bytes) in [
            ("32KiB", 32 << 10),
            ("512MiB", 512 << 20),
            ("2GiB", 2 << 30),
            ("7", 7),
        ] {
            let size: Size = yaml::from_str(text).unwrap();
            assert_eq!(size, Size(bytes));
            assert_eq!(yaml::to_string(&size).unwrap().trim(), text);
        }
        for wrong in ["512XB", "-1MiB", "MiB", "99999999999999999GiB"] {
            let error = yaml::from_str::<Size>(wrong).unwrap_err();
            assert!(error.to_string().contains("such as 512MiB"), "{error}");
        }
    }
}
