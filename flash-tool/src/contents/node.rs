//! A disk of ours: which release, and which node.

use std::fmt;
use std::fs::File;
use std::io::BufReader;
use std::os::unix::fs::FileExt;

use layout::{Layout, Name, Table};
use manifest::{TrustedKey, trailer};
use serde::Serialize;
use slots::{COPY_OFFSETS, RECORD_LEN, Slot};
use zeroize::Zeroizing;

/// The disk of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// Its name, as long as its machine config waits on the medium for the first start.
    pub hostname: Option<String>,
    /// The release that it starts.
    pub release: Release,
}

/// The release in the slot that is started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "state")]
pub enum Release {
    /// One of the keys signed it.
    Verified {
        /// The board that it is for.
        board: String,
        /// Its version.
        version: String,
    },
    /// There are no keys to verify it with.
    NoKey,
    /// None of the keys signed it.
    OtherKey,
    /// There is none: flashing did not end, or it was erased.
    Missing,
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.release {
            Release::Verified { board, version } => write!(f, "Bedplate {version} for {board}")?,
            Release::NoKey => f.write_str("Bedplate (--key shows the release)")?,
            Release::OtherKey => f.write_str("Bedplate, not signed by this key")?,
            Release::Missing => f.write_str("Bedplate without a release")?,
        }
        match &self.hostname {
            Some(name) => write!(f, ", node {name}"),
            None => Ok(()),
        }
    }
}

/// Reads whose disk it is; none unless its partition table is ours.
pub(super) fn read(disk: &File, size: u64, keys: &[TrustedKey]) -> Option<Node> {
    let table = Table::read(&mut BufReader::new(disk)).ok()?;
    if table.layout.medium() > size {
        return None;
    }
    Some(Node {
        hostname: hostname(disk, &table.layout),
        release: release(disk, &table.layout, keys).unwrap_or(Release::Missing),
    })
}

fn release(disk: &File, layout: &Layout, keys: &[TrustedKey]) -> Option<Release> {
    let boot = layout.extent(Name::BootState).start;
    let [first, second] = COPY_OFFSETS.map(|offset| bytes(disk, boot + offset, RECORD_LEN));
    let slot = match slots::load(&first?, &second?).record?.preferred {
        Slot::A => layout.extent(Name::SlotA),
        Slot::B => layout.extent(Name::SlotB),
    };
    let end = (slot.start + slot.len).checked_sub(trailer::AREA as u64)?;
    let area = bytes(disk, end, trailer::AREA)?;
    let trailer = trailer::decode(&area).ok()?;
    if keys.is_empty() {
        return Some(Release::NoKey);
    }
    let verified = manifest::verify(trailer.json, trailer.signatures, keys);
    Some(verified.map_or(Release::OtherKey, |manifest| Release::Verified {
        board: manifest.board.clone(),
        version: manifest.version.to_string(),
    }))
}

fn hostname(disk: &File, layout: &Layout) -> Option<String> {
    let config = layout.extent(Name::Config);
    let frame = Zeroizing::new(bytes(disk, config.start, machine_config::medium::MAX)?);
    let yaml = Zeroizing::new(machine_config::medium::decode(&frame).ok()??);
    let config = machine_config::parse(&yaml).ok()?;
    crate::config::hostname(&config)
}

fn bytes(disk: &File, at: u64, length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; length];
    disk.read_exact_at(&mut bytes, at).ok()?;
    Some(bytes)
}
