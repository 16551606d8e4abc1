//! What is on a disk: file systems, encryption, parts of arrays, and nodes of ours. Reads, and changes nothing.

mod node;
mod signatures;

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use manifest::TrustedKey;
use serde::Serialize;

pub use self::node::{Node, Release};
pub use self::signatures::Signature;
use crate::host::Partition;

/// How much is read at each end of a disk or partition, in bytes: all signatures are in there.
const WINDOW: u64 = 256 * 1024;

/// What a disk holds, by what is written at the ends of it and of its partitions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Contents {
    /// The node, if it is the disk of one.
    pub node: Option<Node>,
    /// What the disk as a whole holds.
    pub whole: Vec<Signature>,
    /// What each partition holds, those in which nothing is recognised left out.
    pub partitions: Vec<Held>,
}

/// What a partition holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Held {
    /// The kernel's name of the partition.
    pub name: String,
    /// What is recognised in it.
    pub signatures: Vec<Signature>,
}

impl Contents {
    /// Reads what a disk holds. A release is named only if one of `keys` signed it: nothing else that it says is believed.
    ///
    /// # Errors
    /// Fails when the disk cannot be read.
    pub fn read(disk: &File, size: u64, partitions: &[Partition], keys: &[TrustedKey]) -> io::Result<Self> {
        let mut held = Vec::new();
        for partition in partitions {
            let signatures = found(disk, partition.start, partition.size)?;
            if !signatures.is_empty() {
                held.push(Held {
                    name: partition.name.clone(),
                    signatures,
                });
            }
        }
        Ok(Self {
            node: node::read(disk, size, keys),
            whole: found(disk, 0, size)?,
            partitions: held,
        })
    }

    /// Returns true if nothing was recognised.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(node) = &self.node {
            return node.fmt(f);
        }
        let whole = self.whole.iter().map(Signature::to_string);
        let parts = self.partitions.iter().flat_map(|part| &part.signatures);
        let all: Vec<String> = whole.chain(parts.map(Signature::to_string)).collect();
        if all.is_empty() {
            return f.write_str("nothing known");
        }
        f.write_str(&all.join(", "))
    }
}

/// Finds the signatures of a part of a disk.
fn found(disk: &File, start: u64, size: u64) -> io::Result<Vec<Signature>> {
    let length = size.min(WINDOW);
    let read = |at: u64| {
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        disk.read_exact_at(&mut bytes, at).map(|()| bytes)
    };
    let (head, tail) = (read(start)?, read(start + size - length)?);
    Ok(signatures::find(&head, &tail, size))
}
