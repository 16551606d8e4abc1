//! The bytes of device-mapper's messages (`linux/dm-ioctl.h`), without any system call.

use std::io;
use std::path::PathBuf;

use super::table::Table;

/// `sizeof(struct dm_ioctl)`.
pub(super) const HEADER_LEN: usize = 312;
const TARGET_LEN: usize = 40;
const NAME_AT: usize = 48;
const NAME_LEN: usize = 128;
const DEVICE_AT: usize = 40;
const READ_ONLY: u32 = 1;

/// The fields of `struct dm_ioctl` that we set.
#[derive(Clone, Copy)]
pub(super) struct Header<'a> {
    pub name: &'a str,
    pub read_only: bool,
    pub targets: u32,
}

impl Header<'_> {
    pub(super) fn encode(&self, total: usize) -> io::Result<[u8; HEADER_LEN]> {
        // One byte stays zero: the kernel wants the name ended by NUL.
        if self.name.is_empty() || self.name.len() >= NAME_LEN || self.name.contains('/') {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "not a name for a device",
            ));
        }
        let total = u32::try_from(total).map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut bytes = [0; HEADER_LEN];
        let mut field = |at: usize, value: u32| bytes[at..at + 4].copy_from_slice(&value.to_ne_bytes());
        field(0, 4); // interface version 4.0.0
        field(12, total);
        field(16, u32::try_from(HEADER_LEN).expect("312 fits"));
        field(20, self.targets);
        field(28, if self.read_only { READ_ONLY } else { 0 });
        bytes[NAME_AT..NAME_AT + self.name.len()].copy_from_slice(self.name.as_bytes());
        Ok(bytes)
    }
}

/// Encodes one `struct dm_target_spec` with its parameters.
pub(super) fn encode_table(table: &Table) -> Vec<u8> {
    let mut bytes = vec![0; TARGET_LEN];
    bytes[8..16].copy_from_slice(&(table.len / 512).to_ne_bytes());
    bytes[24..24 + table.target.len()].copy_from_slice(table.target.as_bytes());
    bytes.extend_from_slice(table.parameters.as_bytes());
    bytes.push(0);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    let next = u32::try_from(bytes.len()).unwrap_or(0);
    bytes[20..24].copy_from_slice(&next.to_ne_bytes());
    bytes
}

/// Returns the node of the device in the kernel's answer.
pub(super) fn node_of(answer: &[u8; HEADER_LEN]) -> PathBuf {
    let mut device = [0; 8];
    device.copy_from_slice(&answer[DEVICE_AT..DEVICE_AT + 8]);
    let device = u64::from_ne_bytes(device);
    // The kernel's "huge" encoding: 20 bits of minor around 12 of major.
    let minor = (device & 0xff) | ((device >> 12) & 0xfff00);
    PathBuf::from(format!("/dev/dm-{minor}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_has_its_fields_where_the_kernel_looks() {
        let header = Header {
            name: "slot",
            read_only: true,
            targets: 1,
        };
        let bytes = header.encode(4096).unwrap();
        let field = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!(
            [field(0), field(12), field(16), field(20), field(28)],
            [4, 4096, 312, 1, 1]
        );
        assert_eq!(&bytes[48..53], b"slot\0");
    }

    #[test]
    fn names_that_would_not_fit_are_refused() {
        for name in ["", "a/b", &"x".repeat(128)] {
            assert!(
                Header {
                    name,
                    read_only: true,
                    targets: 0
                }
                .encode(4096)
                .is_err(),
                "{name:?}"
            );
        }
    }

    #[test]
    fn a_target_is_followed_by_its_parameters_and_padding() {
        let table = Table {
            target: "linear",
            len: 4096,
            parameters: "/dev/dm-0 16".into(),
        };
        let bytes = encode_table(&table);
        assert_eq!(bytes.len(), 56);
        assert_eq!(u64::from_ne_bytes(bytes[8..16].try_into().unwrap()), 8);
        assert_eq!(&bytes[24..31], b"linear\0");
        assert_eq!(&bytes[40..53], b"/dev/dm-0 16\0");
        assert_eq!(u32::from_ne_bytes(bytes[20..24].try_into().unwrap()), 56);
    }

    #[test]
    fn nodes_are_found_by_minor() {
        let mut answer = [0; HEADER_LEN];
        answer[40..48].copy_from_slice(&(0xfd03_u64).to_ne_bytes());
        assert_eq!(node_of(&answer), PathBuf::from("/dev/dm-3"));
    }
}
