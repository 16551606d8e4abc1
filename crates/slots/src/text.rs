//! Text forms for documents that people read: versions and slots as strings, states as objects tagged by `state`.

extern crate alloc;

use alloc::string::String;
use core::fmt;
use core::marker::PhantomData;
use core::str::FromStr;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::{Reason, Record, Slot, SlotState, Version};

macro_rules! as_string {
    ($type:ty, $expected:literal) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(Text($expected, PhantomData))
            }
        }
    };
}

as_string!(Version, "a version such as 0.1.0");
as_string!(Slot, "a slot: a or b");

struct Text<T>(&'static str, PhantomData<T>);

impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

/// The wire shape of a state: `{"state": "trial", "tries": 2}`, `{"state": "bad", "code": 10, "reason": "…"}`.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(tag = "state", rename_all = "camelCase", deny_unknown_fields)]
enum Tagged {
    // With braces: serde lets unit variants pass with any field beside the tag.
    Empty {},
    Trial {
        tries: u8,
    },
    Committed {},
    Bad {
        code: u8,
        // For readers only: the code is what counts, and a sentence may be reworded between releases.
        #[serde(default)]
        reason: String,
    },
}

impl Serialize for SlotState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            SlotState::Empty => Tagged::Empty {},
            SlotState::Trial { tries } => Tagged::Trial { tries },
            SlotState::Committed => Tagged::Committed {},
            SlotState::Bad(reason) => Tagged::Bad {
                code: reason.code(),
                reason: alloc::format!("{reason}"),
            },
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SlotState {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Tagged::deserialize(deserializer)? {
            Tagged::Empty {} => SlotState::Empty,
            Tagged::Trial { tries } => SlotState::Trial { tries },
            Tagged::Committed {} => SlotState::Committed,
            Tagged::Bad { code, .. } => SlotState::Bad(Reason::from_code(code)),
        })
    }
}

#[derive(serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    a: SlotState,
    b: SlotState,
    preferred: Slot,
    floor: Version,
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Record {
            slots: [a, b],
            preferred,
            floor,
        } = *self;
        Document {
            a,
            b,
            preferred,
            floor,
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Document {
            a,
            b,
            preferred,
            floor,
        } = Document::deserialize(deserializer)?;
        Ok(Record {
            slots: [a, b],
            preferred,
            floor,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn documents_round_trip_and_read_well() {
        let record = Record::initial()
            .mark_bad(Slot::A, Reason::NotHealthy)
            .arm_trial(Slot::B, 2)
            .raise_floor(Version::new(0, 3, 1));
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(
            text,
            r#"{"a":{"state":"bad","code":19,"reason":"it was not healthy in time"},"b":{"state":"trial","tries":2},"preferred":"b","floor":"0.3.1"}"#
        );
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
    }

    #[test]
    fn nonsense_is_named() {
        let error = serde_json::from_str::<Version>(r#""1.2""#)
            .unwrap_err()
            .to_string();
        assert!(error.contains("MAJOR.MINOR.PATCH"), "{error}");
        assert!(serde_json::from_str::<Slot>(r#""c""#).is_err());
        assert!(serde_json::from_str::<SlotState>(r#"{"state":"empty","tries":1}"#).is_err());
        assert_eq!(
            serde_json::from_str::<SlotState>(r#"{"state":"bad","code":200}"#).unwrap(),
            SlotState::Bad(Reason::Unknown(200))
        );
    }
}
