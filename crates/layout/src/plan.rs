//! Placing the partitions: arithmetic only.

use crate::names::Len;
use crate::{ALIGN, Name, SECTOR, TABLE_HEAD, TABLE_TAIL};

/// The board's requirements for its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskSpec {
    /// Bytes in each of the two slot partitions.
    pub slot_size: u64,
    /// Byte at which the first partition starts; the space before it may hold the vendor's boot code.
    pub first_partition: u64,
}

/// A run of bytes on the medium.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Extent {
    /// First byte.
    pub start: u64,
    /// Number of bytes.
    pub len: u64,
}

/// The place of each partition on a medium.
///
/// Holding one proves that the partitions are aligned, in order, do not overlap, and leave room for both copies of
/// the partition table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    medium: u64,
    extents: [Extent; 7],
}

/// The reason why the partitions do not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// The medium is too small.
    #[error("the medium has {medium} bytes, but this image needs at least {needed}: use a larger one")]
    TooSmall {
        /// The least that would do.
        needed: u64,
        /// What there is.
        medium: u64,
    },
    /// The board asks for something that cannot be.
    #[error("{what} is {bytes} bytes, but must be a multiple of {ALIGN}, above zero, and less than 2^62")]
    BadSpec {
        /// The field at fault.
        what: &'static str,
        /// Its value.
        bytes: u64,
    },
}

impl Extent {
    /// Returns the first byte after the extent.
    pub const fn end(&self) -> u64 {
        self.start + self.len
    }
}

impl Layout {
    /// Places the partitions on a medium of `medium` bytes; DATA takes what is left.
    pub fn for_medium(spec: &DiskSpec, medium: u64) -> Result<Self, LayoutError> {
        let needed = Self::least(spec)?;
        if medium < needed {
            return Err(LayoutError::TooSmall { needed, medium });
        }
        let usable = (medium / SECTOR * SECTOR - TABLE_TAIL) / ALIGN * ALIGN;
        let mut extents = [Extent { start: 0, len: 0 }; 7];
        let mut start = spec.first_partition;
        for name in Name::ALL {
            let len = match name.len() {
                Len::Rest(_) => usable - start,
                Len::Fixed(_) | Len::Slot => fixed_len(name, spec),
            };
            extents[name.index()] = Extent { start, len };
            start += len;
        }
        Ok(Self { medium, extents })
    }

    /// Takes partitions that were found on a medium, or names the first that is not where it belongs.
    ///
    /// They must be where [`for_medium`](Self::for_medium) puts them, but for DATA's end: the medium may have grown.
    #[cfg(feature = "gpt")]
    pub(crate) fn from_extents(medium: u64, extents: [Extent; 7]) -> Result<Result<Self, Name>, LayoutError> {
        let found = Self { medium, extents };
        let expected = Self::for_medium(&found.spec(), medium)?;
        let misplaced = expected.partitions().find(|(name, extent)| {
            let there = found.extent(*name);
            match name.len() {
                Len::Rest(_) => there.start != extent.start || there.len > extent.len,
                Len::Fixed(_) | Len::Slot => there != *extent,
            }
        });
        Ok(misplaced.map_or(Ok(found), |(name, _)| Err(name)))
    }

    /// Returns the smallest medium that will do.
    pub fn least(spec: &DiskSpec) -> Result<u64, LayoutError> {
        for (what, bytes) in [
            ("slot size", spec.slot_size),
            ("first partition's start", spec.first_partition),
        ] {
            if !bytes.is_multiple_of(ALIGN) || !(TABLE_HEAD..1 << 62).contains(&bytes) {
                return Err(LayoutError::BadSpec { what, bytes });
            }
        }
        let fixed = Name::ALL
            .into_iter()
            .map(|name| fixed_len(name, spec))
            .fold(0, u64::saturating_add);
        // One more alignment unit at the end holds the backup table.
        spec.first_partition
            .checked_add(fixed)
            .and_then(|sum| sum.checked_add(ALIGN))
            .filter(|sum| *sum < i64::MAX as u64)
            .ok_or(LayoutError::BadSpec {
                what: "slot size",
                bytes: spec.slot_size,
            })
    }

    /// Returns the size of the medium that this layout is for.
    pub fn medium(&self) -> u64 {
        self.medium
    }

    /// Returns where a partition lies.
    pub fn extent(&self, name: Name) -> Extent {
        self.extents[name.index()]
    }

    /// Returns the partitions and where they lie, in order.
    pub fn partitions(&self) -> impl Iterator<Item = (Name, Extent)> + '_ {
        Name::ALL.into_iter().map(|name| (name, self.extent(name)))
    }

    /// Returns the board's requirements.
    pub fn spec(&self) -> DiskSpec {
        DiskSpec {
            slot_size: self.extent(Name::SlotA).len,
            first_partition: self.extent(Name::Esp).start,
        }
    }

    /// Returns the bytes at the end of the medium that the backup table takes.
    pub fn table_tail(&self) -> Extent {
        Extent {
            start: self.medium / SECTOR * SECTOR - TABLE_TAIL,
            len: TABLE_TAIL,
        }
    }
}

/// Returns the size of a partition; of DATA the least.
fn fixed_len(name: Name, spec: &DiskSpec) -> u64 {
    match name.len() {
        Len::Fixed(len) | Len::Rest(len) => *len,
        Len::Slot => spec.slot_size,
    }
}
