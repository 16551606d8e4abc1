//! Volumes that a cloud attaches, recognised by their label.

/// Where the descriptor of an ISO 9660 volume starts, in bytes.
pub const DESCRIPTOR: u64 = 16 * 2048;
/// How many bytes of each place tell what a volume is.
pub const LENGTH: usize = 512;

/// A file system that a volume can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// ISO 9660, as on a CD.
    Iso9660,
    /// FAT, of any width.
    Fat,
}

/// What a labelled volume is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// The file system.
    pub format: Format,
    /// The label, without the spaces that fill it.
    pub label: String,
}

impl Volume {
    /// Returns whether it has this label; letters of either case count, since FAT knows only capitals.
    pub fn is(&self, label: &str) -> bool {
        self.label.eq_ignore_ascii_case(label)
    }
}

/// Recognises a volume by its first [`LENGTH`] bytes and those at [`DESCRIPTOR`], either of which may be shorter.
///
/// A disk that has both is a CD that can be started from: what it is called as a CD counts.
pub fn identify(first: &[u8], descriptor: &[u8]) -> Option<Volume> {
    let found = |format, label: &[u8]| {
        let label = String::from_utf8_lossy(label);
        let label = label.trim_matches(['\0', ' ']).to_owned();
        (!label.is_empty()).then_some(Volume { format, label })
    };
    // A primary descriptor, of version 1.
    if descriptor.starts_with(b"\x01CD001\x01") {
        return found(Format::Iso9660, descriptor.get(40..72)?);
    }
    // The signature of a boot sector, and of its extended block: before the label, which the file system's name follows.
    if first.get(510..512)? != [0x55, 0xaa] {
        return None;
    }
    let at = |signature: usize, label: usize| {
        let signed = matches!(first.get(signature), Some(0x28 | 0x29));
        let named = first.get(label + 11..label + 14) == Some(b"FAT");
        first.get(label..label + 11).filter(|_| signed && named)
    };
    found(Format::Fat, at(38, 43).or_else(|| at(66, 71))?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fat(signature: usize, label: usize) -> Vec<u8> {
        let mut sector = vec![0; LENGTH];
        sector[signature] = 0x29;
        sector[label..label + 11].copy_from_slice(b"CIDATA     ");
        sector[label + 11..label + 16].copy_from_slice(b"FAT16");
        sector[510..].copy_from_slice(&[0x55, 0xaa]);
        sector
    }

    fn iso() -> Vec<u8> {
        let mut descriptor = vec![0; LENGTH];
        descriptor[..7].copy_from_slice(b"\x01CD001\x01");
        descriptor[40..72].fill(b' ');
        descriptor[40..48].copy_from_slice(b"config-2");
        descriptor
    }

    #[test]
    fn labels_are_read_from_both_formats() {
        for sector in [fat(38, 43), fat(66, 71)] {
            let volume = identify(&sector, &[]).unwrap();
            assert!(volume.format == Format::Fat && volume.is("cidata") && !volume.is("config-2"));
        }
        let volume = identify(&[], &iso()).unwrap();
        assert!(volume.format == Format::Iso9660 && volume.is("config-2"));
        let both = identify(&fat(38, 43), &iso()).unwrap();
        assert_eq!(both.format, Format::Iso9660);
    }

    #[test]
    fn what_is_neither_has_no_label() {
        let mut unsigned = fat(38, 43);
        unsigned[510] = 0;
        let mut nameless = fat(38, 43);
        nameless[43..54].fill(b' ');
        let mut partition_table = vec![0; LENGTH];
        partition_table[510..].copy_from_slice(&[0x55, 0xaa]);
        for sector in [
            unsigned,
            nameless,
            partition_table,
            vec![],
            fat(38, 43)[..511].to_vec(),
        ] {
            assert_eq!(identify(&sector, &[]), None);
        }
        assert_eq!(identify(&[], &iso()[..60]), None);
    }

    proptest! {
        #[test]
        fn nothing_panics_and_a_label_is_short(
            first in proptest::collection::vec(any::<u8>(), 0..600),
            mut descriptor in proptest::collection::vec(any::<u8>(), 0..600),
            magic: bool,
        ) {
            if magic && descriptor.len() > 7 {
                descriptor[..7].copy_from_slice(b"\x01CD001\x01");
            }
            if let Some(volume) = identify(&first, &descriptor) {
                prop_assert!((1..=32).contains(&volume.label.chars().count()));
            }
        }
    }
}
