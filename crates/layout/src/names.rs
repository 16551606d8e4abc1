//! The partitions by number, name, type, size and image.

use crate::DATA_MIN;

/// A partition of a Bedplate disk, in the order in which they lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Name {
    /// FAT file system with the loader, and on some boards the vendor's firmware.
    Esp,
    /// Two copies of the slot record.
    BootState,
    /// The machine config that the flash tool injects.
    Config,
    /// The first slot.
    SlotA,
    /// The second slot.
    SlotB,
    /// Identity, keys, accepted machine config.
    State,
    /// Containers, logs: the rest of the medium.
    Data,
}

/// The properties of a partition.
struct Facts {
    /// The name in the partition table.
    name: &'static str,
    /// The partition type GUID.
    type_guid: u128,
    len: Len,
    /// The image of a bundle that is written to it.
    image: Option<&'static str>,
}

/// The size of a partition.
pub(crate) enum Len {
    /// So many bytes on every disk.
    Fixed(u64),
    /// What the board asks for its slots.
    Slot,
    /// The rest of the medium, and at least this.
    Rest(u64),
}

const MIB: u64 = 1024 * 1024;
const SLOT_TYPE: u128 = 0xe2052f5f_3b9c_5199_8760_0cbabee52faf;

/// The partitions, in the order of [`Name::ALL`]. Nothing else in the tree spells their names.
///
/// Apart from the ESP's, the types are ours: no other system mounts, formats or repairs them unasked.
const FACTS: [Facts; 7] = [
    Facts {
        name: "ESP",
        type_guid: 0xc12a7328_f81f_11d2_ba4b_00a0c93ec93b,
        len: Len::Fixed(128 * MIB),
        image: Some("esp"),
    },
    Facts {
        name: "BOOTSTATE",
        type_guid: 0x6898e982_5096_5a2d_af9c_37d06ad6eb76,
        len: Len::Fixed(MIB),
        image: None,
    },
    Facts {
        name: "CONFIG",
        type_guid: 0x473dffac_33b9_54f8_b170_039a65afed40,
        len: Len::Fixed(MIB),
        image: None,
    },
    Facts {
        name: "SLOT-A",
        type_guid: SLOT_TYPE,
        len: Len::Slot,
        // A disk is flashed with its first slot filled.
        image: Some("slot"),
    },
    Facts {
        name: "SLOT-B",
        type_guid: SLOT_TYPE,
        len: Len::Slot,
        image: None,
    },
    Facts {
        name: "STATE",
        type_guid: 0xf3b517da_95e1_5ddc_87a5_23651c4a0347,
        len: Len::Fixed(64 * MIB),
        image: None,
    },
    Facts {
        name: "DATA",
        type_guid: 0x89d5e1d3_a840_51bb_b3fa_0a14e9cdd694,
        len: Len::Rest(DATA_MIN),
        image: None,
    },
];

impl Name {
    /// All partitions, in order.
    pub const ALL: [Name; 7] = [
        Name::Esp,
        Name::BootState,
        Name::Config,
        Name::SlotA,
        Name::SlotB,
        Name::State,
        Name::Data,
    ];

    /// Returns the name as the partition table has it.
    pub const fn as_str(self) -> &'static str {
        self.facts().name
    }

    /// Finds a partition by the name in the partition table.
    pub fn find(name: &str) -> Option<Name> {
        Name::ALL.into_iter().find(|known| known.as_str() == name)
    }

    /// Finds the partition that an image of a bundle is written to, by the image's name.
    pub fn of_image(image: &str) -> Option<Name> {
        Name::ALL
            .into_iter()
            .find(|name| name.facts().image == Some(image))
    }

    /// Returns the partition's number, from 1.
    pub const fn number(self) -> u32 {
        self.index() as u32 + 1
    }

    /// Returns the place in [`ALL`](Self::ALL).
    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    /// Returns how large the partition is.
    pub(crate) const fn len(self) -> &'static Len {
        &self.facts().len
    }

    /// Returns the partition type GUID, as the number that its hex digits spell.
    pub const fn type_guid(self) -> u128 {
        self.facts().type_guid
    }

    const fn facts(self) -> &'static Facts {
        &FACTS[self.index()]
    }
}

impl core::fmt::Display for Name {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.as_str())
    }
}
