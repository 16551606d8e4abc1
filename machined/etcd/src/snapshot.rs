//! Checks a snapshot of etcd piece by piece, while it arrives.
//!
//! A snapshot is etcd's database, a file of bolt whose length is a multiple of 512, and the SHA-256 of it in the last 32
//! bytes. Source of the format: etcd's `etcdutl/snapshot/v3_snapshot.go` and bbolt's `db.go`.

use sha2::{Digest as _, Sha256};

/// The largest snapshot that is taken: the most that etcd's authors recommend to keep in it.
const LARGEST: u64 = 8 << 30;
/// Length of the SHA-256 at the end.
pub(crate) const HASH: usize = 32;
/// The database's length is a multiple of it.
const SECTOR: u64 = 512;
/// The first bytes, in which the database says what it is.
const HEAD: usize = 28;
/// bolt's mark, and the version of its format that etcd writes.
const BOLT: [u32; 2] = [0xED0C_DAED, 2];

/// The reason why a file is no snapshot that can be restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("this is no snapshot of etcd; save one with `bedplate etcd snapshot`")]
    NotOne,
    #[error(
        "this file has no checksum, as if it were copied from etcd's own folder; restore a file that was saved with `bedplate etcd snapshot`"
    )]
    NoChecksum,
    #[error("a snapshot may have {LARGEST} bytes at most")]
    TooLarge,
    #[error("the snapshot is damaged or incomplete: its SHA-256 is not the one that it ends with")]
    Damaged,
}

/// What was seen of a snapshot so far.
pub(crate) struct Inspector {
    left: u64,
    head: Vec<u8>,
    data: Sha256,
    whole: Sha256,
    end: Vec<u8>,
}

impl Inspector {
    /// Begins with a file of that length, if a snapshot can have it.
    ///
    /// # Errors
    ///
    /// What its length alone says.
    pub fn new(length: u64) -> Result<Self, Fault> {
        let hash = HASH as u64;
        match length {
            _ if length > LARGEST => return Err(Fault::TooLarge),
            _ if length > 0 && length.is_multiple_of(SECTOR) => return Err(Fault::NoChecksum),
            _ if length <= SECTOR || length % SECTOR != hash => return Err(Fault::NotOne),
            _ => {}
        }
        Ok(Self {
            left: length,
            head: Vec::with_capacity(HEAD),
            data: Sha256::new(),
            whole: Sha256::new(),
            end: Vec::with_capacity(HASH),
        })
    }

    /// Looks at the next bytes.
    ///
    /// # Errors
    ///
    /// What they say; the rest need not be read then.
    pub fn take(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let length = bytes.len() as u64;
        let Some(left) = self.left.checked_sub(length) else {
            return Err(Fault::Damaged);
        };
        self.whole.update(bytes);
        let data = usize::try_from(self.left.saturating_sub(HASH as u64)).unwrap_or(usize::MAX);
        let (data, end) = bytes.split_at(data.min(bytes.len()));
        self.data.update(data);
        self.end.extend(end);
        self.left = left;
        let wanted = HEAD - self.head.len();
        if wanted > 0 {
            self.head.extend(&data[..wanted.min(data.len())]);
            if self.head.len() == HEAD && !is_bolt(&self.head) {
                return Err(Fault::NotOne);
            }
        }
        Ok(())
    }

    /// Returns the SHA-256 of the whole file, in hex.
    ///
    /// # Errors
    ///
    /// The file is damaged, or not all of it was seen.
    pub fn finish(self) -> Result<String, Fault> {
        match self.left == 0 && self.data.finalize().as_slice() == self.end {
            true => Ok(hex::encode(self.whole.finalize())),
            false => Err(Fault::Damaged),
        }
    }
}

/// Tells whether a file begins as bolt's do: with a page's header of 16 bytes, its mark, and a version.
fn is_bolt(head: &[u8]) -> bool {
    let word = |at: usize| {
        head.get(at..at + 4)
            .map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]))
    };
    [word(16), word(20)] == BOLT.map(Some)
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Makes a file that passes for a snapshot of these contents.
    pub(crate) fn made(content: &[u8]) -> Vec<u8> {
        let mut file = vec![0; 16];
        file.extend(BOLT[0].to_le_bytes());
        file.extend(BOLT[1].to_le_bytes());
        file.extend(content);
        file.resize((file.len() + 8).next_multiple_of(512), 0);
        let hash = Sha256::digest(&file);
        file.extend(hash.as_slice());
        file
    }

    fn inspect(file: &[u8], piece: usize) -> Result<String, Fault> {
        let mut inspector = Inspector::new(file.len() as u64)?;
        for piece in file.chunks(piece) {
            inspector.take(piece)?;
        }
        inspector.finish()
    }

    #[test]
    fn what_is_no_snapshot_is_told_by_what_it_is() {
        let file = made(&[7; 600]);
        let whole = hex::encode(Sha256::digest(&file));
        assert_eq!(inspect(&file, 100), Ok(whole));
        assert_eq!(inspect(&file[..file.len() - HASH], 100), Err(Fault::NoChecksum));
        assert_eq!(inspect(b"#!/bin/sh", 100), Err(Fault::NotOne));
        assert_eq!(inspect(&[], 100), Err(Fault::NotOne));
        assert_eq!(inspect(&vec![0; 1024 + HASH], 100), Err(Fault::NotOne));
        assert_eq!(Inspector::new(LARGEST + 32).err(), Some(Fault::TooLarge));
        let mut unfinished = Inspector::new(file.len() as u64).unwrap();
        unfinished.take(&file[..700]).unwrap();
        assert_eq!(unfinished.finish(), Err(Fault::Damaged));
        let mut longer = Inspector::new(file.len() as u64).unwrap();
        longer.take(&file).unwrap();
        assert_eq!(longer.take(b"x"), Err(Fault::Damaged));
    }

    proptest! {
        #[test]
        fn any_changed_byte_is_found_in_pieces_of_any_length(
            content in proptest::collection::vec(any::<u8>(), 0..2000),
            piece in 1..700_usize,
            at: prop::sample::Index,
            other in 1..=255_u8,
        ) {
            let mut file = made(&content);
            prop_assert!(inspect(&file, piece).is_ok());
            let at = at.index(file.len());
            file[at] ^= other;
            prop_assert!(inspect(&file, piece).is_err(), "byte {at}");
        }
    }
}
