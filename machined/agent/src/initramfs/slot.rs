//! Decides what to open: from the slot's trailer and the loader's word to two device-mapper tables.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use manifest::{Digest, Manifest, trailer};
use sys::device_mapper::{Table, Verity};

/// Says which devices to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// dm-verity over the slot.
    pub slot: Verity,
    /// Where the root file system starts within the verified slot.
    pub root_offset: u64,
    /// The root file system's length.
    pub root_len: u64,
}

/// Says why a slot cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The partition cannot be read.
    #[error("cannot read the end of {device}")]
    Read {
        /// The partition.
        device: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The partition ends before a trailer could.
    #[error("{device} has only {len} bytes, too few for a slot")]
    TooSmall {
        /// The partition.
        device: String,
        /// Its length.
        len: u64,
    },
    /// There is no trailer.
    #[error("{device} is no slot")]
    Trailer {
        /// The partition.
        device: String,
        /// Why.
        #[source]
        source: trailer::TrailerError,
    },
    /// Somebody changed the manifest after the loader verified it, or this is another disk.
    #[error(
        "the manifest on {device} is not the one the loader verified: it has SHA-256 {found}, not {expected}"
    )]
    OtherManifest {
        /// The partition.
        device: String,
        /// What the trailer's manifest hashes to.
        found: String,
        /// What the loader passed.
        expected: String,
    },
    /// The manifest makes no sense. The loader should have said so.
    #[error("the manifest on {device} cannot be used")]
    Manifest {
        /// The partition.
        device: String,
        /// Why.
        #[source]
        source: manifest::ParseError,
    },
}

/// Reads a slot's trailer and decides which devices to make.
pub fn plan(device: &Path, expected: &str) -> Result<Plan, Error> {
    let area = read_trailer(device)?;
    plan_from(device, &area, expected)
}

/// Reads the last bytes of a slot, where the manifest lies.
fn read_trailer(device: &Path) -> Result<Vec<u8>, Error> {
    let name = || device.display().to_string();
    let read = || -> io::Result<(u64, Vec<u8>)> {
        let mut file = File::open(device)?;
        let len = file.seek(SeekFrom::End(0))?;
        let mut area = Vec::new();
        if let Some(at) = len.checked_sub(trailer::AREA as u64) {
            file.seek(SeekFrom::Start(at))?;
            area.resize(trailer::AREA, 0);
            file.read_exact(&mut area)?;
        }
        Ok((len, area))
    };
    match read() {
        Ok((len, area)) if area.is_empty() => Err(Error::TooSmall { device: name(), len }),
        Ok((_, area)) => Ok(area),
        Err(source) => Err(Error::Read {
            device: name(),
            source,
        }),
    }
}

fn plan_from(device: &Path, area: &[u8], expected: &str) -> Result<Plan, Error> {
    let name = || device.display().to_string();
    let found = trailer::decode(area).map_err(|source| Error::Trailer {
        device: name(),
        source,
    })?;
    let hash = Digest::of(found.json).to_string();
    if hash != expected {
        return Err(Error::OtherManifest {
            device: name(),
            found: hash,
            expected: expected.to_owned(),
        });
    }
    // The loader checked the signature of these very bytes: their hash says so.
    let manifest = Manifest::parse_unverified(found.json).map_err(|source| Error::Manifest {
        device: name(),
        source,
    })?;
    let (root, verity) = (manifest.root(), &manifest.slot.verity);
    let slot = Verity {
        device: device.to_owned(),
        data_blocks: verity.data_blocks,
        tree_offset: verity.tree_offset,
        root_hash: verity.root_hash.to_string(),
        salt: verity.salt.to_string(),
    };
    // The manifest's own check holds that parts start on blocks and lie within the data.
    let root_len = root.size.next_multiple_of(manifest::PART_ALIGNMENT);
    Ok(Plan {
        slot,
        root_offset: root.offset,
        root_len,
    })
}

impl Plan {
    /// Returns the table that shows the root file system, given the node of the verified slot.
    pub fn root(&self, slot: &Path) -> Table {
        Table::linear(slot, self.root_offset, self.root_len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> String {
        let hash = "00".repeat(32);
        let part = |kind: &str, offset: u64| {
            format!(r#"{{"kind":"{kind}","name":"{kind}","offset":{offset},"size":4000,"sha256":"{hash}"}}"#)
        };
        let parts = [part("kernel", 0), part("initramfs", 4096), part("root", 8192)].join(",");
        format!(
            r#"{{"format":1,"board":"qemu-arm64","arch":"arm64","version":"0.1.0","created":1,"overlays":[],"locked":true,
            "cmdline":"quiet","slot":{{"size":16384,"parts":[{parts}],
            "verity":{{"dataBlocks":3,"treeOffset":12288,"treeSize":4096,"salt":"{hash}","rootHash":"{}"}}}},
            "disk":{{"slotSize":1048576,"firstPartition":1048576,"hybridMbr":false}},
            "images":[{{"name":"slot","size":16384,"sha256":"{hash}"}}],"index":{{"frames":1,"sha256":"{hash}"}}}}"#,
            "11".repeat(32)
        )
    }

    #[test]
    fn the_loaders_manifest_makes_two_tables() {
        let json = manifest();
        let area = trailer::encode(json.as_bytes(), b"").unwrap();
        let hash = Digest::of(json.as_bytes()).to_string();
        let plan = plan_from(Path::new("/dev/vda4"), &area, &hash).unwrap();
        assert_eq!(plan.slot.root_hash, "11".repeat(32));
        assert_eq!((plan.slot.data_blocks, plan.slot.tree_offset), (3, 12288));
        let root = plan.root(Path::new("/dev/dm-0"));
        assert_eq!((root.len, root.parameters.as_str()), (4096, "/dev/dm-0 16"));
    }

    #[test]
    fn any_other_manifest_is_refused() {
        let area = trailer::encode(manifest().as_bytes(), b"").unwrap();
        let error = plan_from(Path::new("/dev/vda4"), &area, &"22".repeat(32)).unwrap_err();
        assert!(matches!(error, Error::OtherManifest { .. }), "{error}");
    }

    #[test]
    fn an_empty_or_short_partition_is_no_slot() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(matches!(
            plan(file.path(), ""),
            Err(Error::TooSmall { len: 0, .. })
        ));
        file.as_file().set_len(1024 * 1024).unwrap();
        assert!(matches!(plan(file.path(), ""), Err(Error::Trailer { .. })));
    }
}
