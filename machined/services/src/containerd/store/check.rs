//! Checks whether containerd's store is whole: its databases open, and what they name is there in full.
//!
//! Sizes are compared, and nothing is hashed: it costs one look per blob and snapshot, before each start of containerd.
//! Where things are in a store is containerd's own layout: its packages `metadata` and `snapshots/storage`.

use std::path::{Path, PathBuf};
use std::{fs, io};

use super::bolt::{Bolt, BoltError, Bucket, Item};

const METADATA: &str = "io.containerd.metadata.v1.bolt/meta.db";
const SNAPSHOTTER: &str = "io.containerd.snapshotter.v1.overlayfs";
const SNAPSHOTTER_NAME: &[u8] = b"overlayfs";
const BLOBS: &str = "io.containerd.content.v1.content/blobs";
/// Begins the key of a layer that is being unpacked (`UnpackKeyPrefix` in containerd's `snapshots`).
///
/// When it is done, the snapshotter gives it its final name before containerd's own database follows. A crash between the two
/// leaves the key there alone; nothing uses it, and containerd's collector takes it away.
const UNPACKING: &[u8] = b"extract-";

/// What is wrong with a store.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// A database cannot be used.
    #[error(transparent)]
    Database(#[from] BoltError),
    /// A database is empty or gone, and what it listed is there.
    #[error("database {path} is empty, and there is content that it should know of")]
    Forgotten {
        /// The file.
        path: String,
    },
    /// A blob is gone or has another size.
    #[error("blob {digest} has {found} of its {expected} bytes")]
    Blob {
        /// Its digest.
        digest: String,
        /// How many bytes are there.
        found: u64,
        /// How many should be.
        expected: u64,
    },
    /// A snapshot is gone.
    #[error("snapshot {name} is gone")]
    Snapshot {
        /// Its name.
        name: String,
    },
}

/// Looks at the store in a folder while containerd does not run. One that is not there, or was never used, is whole.
///
/// # Errors
/// Returns the first fault.
pub fn examine(root: &Path) -> Result<(), Fault> {
    let backend = root.join(SNAPSHOTTER);
    let snapshots = backend.join("snapshots");
    let known = database(&backend.join("metadata.db"), || !is_empty(&snapshots))?;
    let known = match known {
        Some(database) => backend_snapshots(&database)?,
        None => Vec::new(),
    };
    for (name, id) in &known {
        if !snapshots.join(id.to_string()).join("fs").is_dir() {
            return Err(Fault::Snapshot { name: name.clone() });
        }
    }
    let blobs = root.join(BLOBS);
    let anything = || !is_empty(&blobs.join("sha256")) || !known.is_empty();
    let Some(metadata) = database(&root.join(METADATA), anything)? else {
        return Ok(());
    };
    for namespace in buckets(&metadata, &[b"v1"])? {
        look_at_blobs(&metadata, &namespace, &blobs)?;
        let path: &[&[u8]] = &[b"v1", &namespace, b"snapshots", SNAPSHOTTER_NAME];
        for key in buckets(&metadata, path)? {
            if key.starts_with(UNPACKING) {
                continue;
            }
            let name = value(&metadata, &[path, &[&key]].concat(), b"name")?;
            let name = String::from_utf8_lossy(&name.unwrap_or_default()).into_owned();
            if !known.iter().any(|(known, _)| *known == name) {
                return Err(Fault::Snapshot { name });
            }
        }
    }
    Ok(())
}

/// Opens a database; none when it was never written, and nothing is there that it should know of.
fn database(path: &Path, is_needed: impl FnOnce() -> bool) -> Result<Option<Bolt>, Fault> {
    let len = fs::metadata(path).map_or(0, |found| found.len());
    if len > 0 {
        return Ok(Some(Bolt::open(path)?));
    }
    if is_needed() {
        return Err(Fault::Forgotten {
            path: path.display().to_string(),
        });
    }
    Ok(None)
}

/// Lists the snapshots that the snapshotter has, each with the number of its folder.
fn backend_snapshots(database: &Bolt) -> Result<Vec<(String, u64)>, Fault> {
    let path: &[&[u8]] = &[b"v1", b"snapshots"];
    let mut snapshots = Vec::new();
    for key in buckets(database, path)? {
        let id = value(database, &[path, &[&key]].concat(), b"id")?;
        let id = id.and_then(|bytes| unsigned(&bytes)).unwrap_or(0);
        snapshots.push((String::from_utf8_lossy(&key).into_owned(), id));
    }
    Ok(snapshots)
}

fn look_at_blobs(metadata: &Bolt, namespace: &[u8], blobs: &Path) -> Result<(), Fault> {
    let path: &[&[u8]] = &[b"v1", namespace, b"content", b"blob"];
    for key in buckets(metadata, path)? {
        let digest = String::from_utf8_lossy(&key).into_owned();
        let size = value(metadata, &[path, &[&key]].concat(), b"size")?;
        let expected = size.and_then(|bytes| signed(&bytes)).unwrap_or(0);
        let found = blob(blobs, &digest)
            .and_then(|path| fs::metadata(path).ok())
            .map_or(0, |found| found.len());
        if found != expected {
            return Err(Fault::Blob {
                digest,
                found,
                expected,
            });
        }
    }
    Ok(())
}

/// Returns where a blob is; none for what is no digest.
fn blob(blobs: &Path, digest: &str) -> Option<PathBuf> {
    let (algorithm, hex) = digest.split_once(':')?;
    let plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (plain(algorithm) && plain(hex)).then(|| blobs.join(algorithm).join(hex))
}

/// Lists the names of the buckets in a bucket; none when it is not there.
fn buckets(database: &Bolt, path: &[&[u8]]) -> Result<Vec<Vec<u8>>, BoltError> {
    let Some(bucket) = database.bucket(path)? else {
        return Ok(Vec::new());
    };
    let items = database.items(&bucket)?.into_iter();
    Ok(items
        .filter(|(_, item)| matches!(item, Item::Bucket(_)))
        .map(|(key, _)| key)
        .collect())
}

fn value(database: &Bolt, path: &[&[u8]], name: &[u8]) -> Result<Option<Vec<u8>>, BoltError> {
    let Some(bucket): Option<Bucket> = database.bucket(path)? else {
        return Ok(None);
    };
    let found = database.items(&bucket)?.into_iter().find(|(key, _)| key == name);
    Ok(match found {
        Some((_, Item::Value(value))) => Some(value),
        _ => None,
    })
}

/// Reads a number as Go's `binary.Uvarint` does.
fn unsigned(bytes: &[u8]) -> Option<u64> {
    let mut number = 0;
    for (index, byte) in bytes.iter().enumerate().take(10) {
        number |= u64::from(byte & 0x7f).checked_shl(u32::try_from(7 * index).ok()?)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// Reads a number that is not negative, as Go's `binary.Varint` does.
fn signed(bytes: &[u8]) -> Option<u64> {
    unsigned(bytes)
        .filter(|number| number & 1 == 0)
        .map(|number| number >> 1)
}

fn is_empty(folder: &Path) -> bool {
    let entries: io::Result<_> = fs::read_dir(folder);
    entries.map_or(true, |mut entries| entries.next().is_none())
}
