// UNSAFETY: device-mapper is driven by one ioctl family without a safe wrapper.
#![expect(unsafe_code)]
//! Device-mapper: block devices made from others.

mod message;
mod table;

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use crate::{Context, Result};
use message::{HEADER_LEN, Header, encode_table, node_of};
pub use table::{Table, Verity};

const CONTROL: &str = "/dev/mapper/control";
/// Room for the header and one table; a verity table has about 300 bytes.
const BUFFER_LEN: usize = 4096;

/// In a module of their own, because the macro makes its functions public.
mod ioctls {
    use super::HEADER_LEN;

    nix::ioctl_readwrite!(dev_create, 0xfd, 3, [u8; HEADER_LEN]);
    nix::ioctl_readwrite!(dev_remove, 0xfd, 4, [u8; HEADER_LEN]);
    nix::ioctl_readwrite!(dev_suspend, 0xfd, 6, [u8; HEADER_LEN]);
    nix::ioctl_readwrite!(table_load, 0xfd, 9, [u8; HEADER_LEN]);
}

/// Makes and removes mapped devices.
pub trait DeviceMapper: Send + Sync {
    /// Creates a read-only device of this name, and returns its node.
    fn create(&self, name: &str, table: &Table) -> Result<PathBuf>;

    /// Removes a device that is not in use.
    fn remove(&self, name: &str) -> Result<()>;
}

/// The kernel's device-mapper.
#[derive(Debug, Clone, Copy, Default)]
pub struct LinuxDeviceMapper;

impl DeviceMapper for LinuxDeviceMapper {
    fn create(&self, name: &str, table: &Table) -> Result<PathBuf> {
        let action = || format!("create the {} device {name}", table.target);
        let (control, header) = open(name).context(action)?;
        let made = call(&control, ioctls::dev_create, &header, &[]).context(action)?;
        let load = Header { targets: 1, ..header };
        let resume = Header { targets: 0, ..header };
        let finish = call(&control, ioctls::table_load, &load, &encode_table(table))
            .and_then(|_| call(&control, ioctls::dev_suspend, &resume, &[]));
        if let Err(error) = finish {
            // A device without a table is useless, and would block the next try.
            let _ = call(&control, ioctls::dev_remove, &resume, &[]);
            return Err(error).context(action);
        }
        Ok(node_of(&made))
    }

    fn remove(&self, name: &str) -> Result<()> {
        let action = || format!("remove the device {name}");
        let (control, header) = open(name).context(action)?;
        call(&control, ioctls::dev_remove, &header, &[]).context(action)?;
        Ok(())
    }
}

/// Opens what takes the calls, with the header of those for this device.
fn open(name: &str) -> std::io::Result<(File, Header<'_>)> {
    let control = File::options().read(true).write(true).open(CONTROL)?;
    let header = Header {
        name,
        read_only: true,
        targets: 0,
    };
    Ok((control, header))
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

/// The kernel's structs, which have 64-bit fields, are copied out of this buffer.
#[repr(C, align(8))]
struct Buffer([u8; BUFFER_LEN]);

/// Records which devices were to be created.
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
