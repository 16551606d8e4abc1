// UNSAFETY: device-mapper is driven by one ioctl family without a safe wrapper.
#![expect(unsafe_code)]
//! Device-mapper: block devices made from others.

mod message;

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use crate::{Context, Result};
use message::{HEADER_LEN, Header, encode_table, node_of};

const CONTROL: &str = "/dev/mapper/control";
/// Room for the header and one table; a verity table has about 300 bytes.
const BUFFER_LEN: usize = 4096;

/// Kept in a module of their own: the macro makes its functions public.
mod ioctls {
    use super::HEADER_LEN;

    nix::ioctl_readwrite!(dev_create, 0xfd, 3, [u8; HEADER_LEN]);
    nix::ioctl_readwrite!(dev_remove, 0xfd, 4, [u8; HEADER_LEN]);
    nix::ioctl_readwrite!(dev_suspend, 0xfd, 6, [u8; HEADER_LEN]);
    nix::ioctl_readwrite!(table_load, 0xfd, 9, [u8; HEADER_LEN]);
}

/// Is one target over a whole mapped device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The kernel's name of the target: `verity`, `linear`.
    pub target: &'static str,
    /// The device's length in bytes, a multiple of 512.
    pub len: u64,
    /// The target's own parameters.
    pub parameters: String,
}

/// Says what a dm-verity device is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verity {
    /// The device that holds both the data, from its start, and the tree.
    pub device: PathBuf,
    /// The number of data blocks of 4096 bytes.
    pub data_blocks: u64,
    /// Where the tree starts, in bytes, a multiple of 4096.
    pub tree_offset: u64,
    /// The root hash, in hex.
    pub root_hash: String,
    /// The salt, in hex; empty for none.
    pub salt: String,
}

impl Table {
    /// Makes a table that returns blocks of `verity.device` only when they match the root hash (and an I/O error
    /// otherwise).
    pub fn verity(verity: &Verity) -> Self {
        let Verity {
            device,
            data_blocks,
            tree_offset,
            root_hash,
            salt,
        } = verity;
        let device = device.display();
        let salt = if salt.is_empty() { "-" } else { salt };
        let tree = tree_offset / 4096;
        Table {
            target: "verity",
            len: data_blocks * 4096,
            parameters: format!(
                "1 {device} {device} 4096 4096 {data_blocks} {tree} sha256 {root_hash} {salt}"
            ),
        }
    }

    /// Makes a table that is a part of another device; offsets in bytes, multiples of 512.
    pub fn linear(device: &std::path::Path, offset: u64, len: u64) -> Self {
        Table {
            target: "linear",
            len,
            parameters: format!("{} {}", device.display(), offset / 512),
        }
    }
}

/// Makes and removes mapped devices.
pub trait DeviceMapper: Send + Sync {
    /// Makes a read-only device of this name, and returns its node.
    fn create(&self, name: &str, table: &Table) -> Result<PathBuf>;

    /// Removes a device that nobody uses.
    fn remove(&self, name: &str) -> Result<()>;
}

/// The kernel's device-mapper.
#[derive(Debug, Clone, Copy, Default)]
pub struct LinuxDeviceMapper;

impl DeviceMapper for LinuxDeviceMapper {
    fn create(&self, name: &str, table: &Table) -> Result<PathBuf> {
        let action = || format!("create the {} device {name}", table.target);
        let control = File::options()
            .read(true)
            .write(true)
            .open(CONTROL)
            .context(action)?;
        let header = Header {
            name,
            read_only: true,
            targets: 0,
        };
        let made = call(&control, ioctls::dev_create, &header, &[]).context(action)?;
        let load = Header { targets: 1, ..header };
        let resume = Header { targets: 0, ..header };
        let finish = call(&control, ioctls::table_load, &load, &encode_table(table))
            .and_then(|_| call(&control, ioctls::dev_suspend, &resume, &[]));
        if let Err(error) = finish {
            // A device without a table is of no use to anybody, and would stand in the way of the next try.
            let _ = call(&control, ioctls::dev_remove, &resume, &[]);
            return Err(error).context(action);
        }
        Ok(node_of(&made))
    }

    fn remove(&self, name: &str) -> Result<()> {
        let action = || format!("remove the device {name}");
        let control = File::options()
            .read(true)
            .write(true)
            .open(CONTROL)
            .context(action)?;
        let header = Header {
            name,
            read_only: true,
            targets: 0,
        };
        call(&control, ioctls::dev_remove, &header, &[]).context(action)?;
        Ok(())
    }
}

type Ioctl = unsafe fn(i32, *mut [u8; HEADER_LEN]) -> nix::Result<i32>;

fn call(
    control: &File,
    ioctl: Ioctl,
    header: &Header<'_>,
    table: &[u8],
) -> std::io::Result<[u8; HEADER_LEN]> {
    let mut buffer = Buffer([0; BUFFER_LEN]);
    let bytes = &mut buffer.0;
    bytes[..HEADER_LEN].copy_from_slice(&header.encode(BUFFER_LEN)?);
    let room = bytes.get_mut(HEADER_LEN..HEADER_LEN + table.len());
    room.ok_or(std::io::ErrorKind::InvalidInput)?
        .copy_from_slice(table);
    // SAFETY: the header says that the buffer has BUFFER_LEN bytes, as it does, aligned for u64; the kernel reads
    // and writes only within them, during the call.
    unsafe { ioctl(control.as_raw_fd(), bytes.as_mut_ptr().cast()) }?;
    let mut answer = [0; HEADER_LEN];
    answer.copy_from_slice(&bytes[..HEADER_LEN]);
    Ok(answer)
}

/// The kernel copies its structs out of here: they hold 64-bit fields.
#[repr(C, align(8))]
struct Buffer([u8; BUFFER_LEN]);

/// Remembers which devices were to be made.
#[derive(Debug, Default)]
pub struct RecordingDeviceMapper {
    /// Names and tables, in order.
    pub created: Mutex<Vec<(String, Table)>>,
}

impl DeviceMapper for RecordingDeviceMapper {
    fn create(&self, name: &str, table: &Table) -> Result<PathBuf> {
        let mut created = self.created.lock().unwrap_or_else(PoisonError::into_inner);
        created.push((name.to_owned(), table.clone()));
        Ok(PathBuf::from(format!("/dev/dm-{}", created.len() - 1)))
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.created
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|(made, _)| made != name);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_what_the_kernel_documents() {
        let verity = Verity {
            device: "/dev/vda4".into(),
            data_blocks: 10,
            tree_offset: 40960,
            root_hash: "aa".into(),
            salt: "bb".into(),
        };
        let table = Table::verity(&verity);
        assert_eq!(
            table.parameters,
            "1 /dev/vda4 /dev/vda4 4096 4096 10 10 sha256 aa bb"
        );
        assert_eq!((table.target, table.len), ("verity", 40960));
        let unsalted = Table::verity(&Verity {
            salt: String::new(),
            ..verity
        });
        assert!(unsalted.parameters.ends_with("aa -"));
        assert_eq!(
            Table::linear("/dev/dm-0".as_ref(), 8192, 4096).parameters,
            "/dev/dm-0 16"
        );
    }
}
