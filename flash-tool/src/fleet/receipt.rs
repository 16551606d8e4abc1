//! The receipt of a card.

use std::collections::BTreeMap;
use std::time::SystemTime;

use machine_config::value::HostName;
use manifest::Digest;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// What the line says that it is: a key signs texts of several kinds.
const KIND: &str = "FlashReceipt";

/// How each line of a ledger begins.
pub(super) const HEAD: &[u8] = br#"{"kind":"FlashReceipt""#;

/// The receipt of a card: it was written, read back and verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Receipt {
    pub kind: Kind,
    /// When the card was finished, in UTC.
    pub time: String,
    /// The row.
    pub hostname: HostName,
    /// Its labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    pub card: Card,
    /// The board that the release is for.
    pub board: String,
    /// The version of the release.
    pub version: String,
    /// The hash of its manifest.
    pub manifest: String,
    /// The root hash of the slot's hash tree, which the bundle was checked against, as the card was against the bundle.
    pub root_hash: Digest,
    /// The hash of the machine config that was written.
    pub config: Digest,
    /// The GUID of the disk.
    pub disk: String,
}

/// The card of a receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Card {
    /// The device file, or the file.
    pub target: String,
    /// The model, as it says itself.
    pub model: Option<String>,
    /// The serial number, as it says itself.
    pub serial: Option<String>,
    /// The USB port of its reader.
    pub port: Option<String>,
    /// Its size.
    pub bytes: u64,
}

/// What a receipt says that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind;

impl Serialize for Kind {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(KIND)
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match String::deserialize(from)?.as_str() {
            KIND => Ok(Kind),
            _ => Err(serde::de::Error::custom(format!("expected the kind {KIND}"))),
        }
    }
}

/// Writes a time in UTC, to the second, such as `2026-11-28T13:00:00Z`.
pub(super) fn utc(at: SystemTime) -> String {
    let at = OffsetDateTime::from(at);
    let at = at.replace_nanosecond(0).unwrap_or(at);
    at.format(&Rfc3339)
        .unwrap_or_else(|_| format!("{} s after 1970", at.unix_timestamp()))
}
