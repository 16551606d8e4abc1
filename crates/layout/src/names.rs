//! The partitions by number, name, type and size.

/// A partition of a Bedplate disk, in the order in which they lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Name {
    /// FAT file system with the loader, and on some boards the vendor's firmware.
    Esp,
    /// The slot record, twice.
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

    /// Returns the name as it stands in the partition table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Name::Esp => "ESP",
            Name::BootState => "BOOTSTATE",
            Name::Config => "CONFIG",
            Name::SlotA => "SLOT-A",
            Name::SlotB => "SLOT-B",
            Name::State => "STATE",
            Name::Data => "DATA",
        }
    }

    /// Finds a partition by the name in the partition table.
    pub fn find(name: &str) -> Option<Name> {
        Name::ALL.into_iter().find(|known| known.as_str() == name)
    }

    /// Returns the partition's number, from 1.
    pub const fn number(self) -> u32 {
        self.index() as u32 + 1
    }

    /// Returns the place in [`ALL`](Self::ALL).
    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    /// Returns the partition type GUID, as the number that its hex digits spell.
    ///
    /// Apart from the ESP's, the types are ours: no other system mounts, formats or repairs them unasked.
    pub const fn type_guid(self) -> u128 {
        match self {
            Name::Esp => 0xc12a7328_f81f_11d2_ba4b_00a0c93ec93b,
            Name::BootState => 0x6898e982_5096_5a2d_af9c_37d06ad6eb76,
            Name::Config => 0x473dffac_33b9_54f8_b170_039a65afed40,
            Name::SlotA | Name::SlotB => 0xe2052f5f_3b9c_5199_8760_0cbabee52faf,
            Name::State => 0xf3b517da_95e1_5ddc_87a5_23651c4a0347,
            Name::Data => 0x89d5e1d3_a840_51bb_b3fa_0a14e9cdd694,
        }
    }
}

impl core::fmt::Display for Name {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.as_str())
    }
}
