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
    Empty,
    Trial {
        tries: u8,
    },
    Committed,
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
            SlotState::Empty => Tagged::Empty,
            SlotState::Trial { tries } => Tagged::Trial { tries },
            SlotState::Committed => Tagged::Committed,
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
            Tagged::Empty => SlotState::Empty,
            Tagged::Trial { tries } => SlotState::Trial { tries },
            Tagged::Committed => SlotState::Committed,
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
