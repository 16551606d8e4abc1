//! Grows DATA to the medium: an image is made for the smallest card, and written to any.

use std::fs::File;
use std::io;
use std::path::Path;

use layout::{Name, Table, TableError};
use sys::block::Resize;

/// Says why DATA was not grown.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk cannot be opened.
    #[error("cannot open {disk}")]
    Open {
        /// The disk.
        disk: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The table is not ours, or cannot be written.
    #[error("cannot grow DATA on {disk}")]
    Table {
        /// The disk.
        disk: String,
        /// Why.
        #[source]
        source: TableError,
    },
    /// The kernel keeps its old view.
    #[error(transparent)]
    Kernel(#[from] sys::Error),
}

/// Makes DATA end where the medium ends, repairs the partition table, and informs the kernel. Returns DATA's length when
/// something had to be written.
///
/// A power cut at any point is healed by the next run: see [`Table::fit`].
pub fn grow(disk: &Path, kernel: &dyn Resize) -> Result<Option<u64>, Error> {
    let name = || disk.display().to_string();
    let opened = File::options().read(true).write(true).open(disk);
    let mut file = opened.map_err(|source| Error::Open { disk: name(), source })?;
    let fitted = Table::fit(&mut file, |file| file.sync_all());
    let fitted = fitted.map_err(|source| Error::Table { disk: name(), source })?;
    let Some(table) = fitted else {
        return Ok(None);
    };
    let data = table.layout.extent(Name::Data);
    kernel.resize(disk, Name::Data.number(), data.start, data.len)?;
    Ok(Some(data.len))
}

#[cfg(test)]
mod tests {
    use layout::{DiskSpec, Guids, Layout};
    use sys::block::RecordingResize;

    use super::*;

    #[test]
    fn data_takes_the_room_once() {
        const MIB: u64 = 1024 * 1024;
        let spec = DiskSpec {
            slot_size: 16 * MIB,
            first_partition: MIB,
        };
        let small = 512 * MIB;
        let table = Table {
            layout: Layout::for_medium(&spec, small).unwrap(),
            guids: Guids::from_seed(b"test"),
            hybrid: false,
        };
        let disk = tempfile::NamedTempFile::new().unwrap();
        disk.as_file().set_len(small).unwrap();
        table
            .write(&mut disk.as_file().try_clone().unwrap(), |file| file.sync_all())
            .unwrap();

        let kernel = RecordingResize::default();
        assert_eq!(grow(disk.path(), &kernel).unwrap(), None, "it fits already");
        disk.as_file().set_len(2 * small).unwrap();
        let len = grow(disk.path(), &kernel).unwrap().unwrap();
        assert_eq!(len, table.layout.extent(Name::Data).len + small);
        assert_eq!(
            *kernel.calls.lock().unwrap(),
            [(7, table.layout.extent(Name::Data).start, len)]
        );
        assert_eq!(
            grow(disk.path(), &kernel).unwrap(),
            None,
            "a second run changes nothing"
        );
    }

    /// A power cut while the first copy was written leaves only the second.
    #[test]
    fn a_torn_table_is_mended() {
        use std::os::unix::fs::FileExt;
        const MIB: u64 = 1024 * 1024;
        let spec = DiskSpec {
            slot_size: 16 * MIB,
            first_partition: MIB,
        };
        let table = Table {
            layout: Layout::for_medium(&spec, 512 * MIB).unwrap(),
            guids: Guids::from_seed(b"test"),
            hybrid: false,
        };
        let disk = tempfile::NamedTempFile::new().unwrap();
        disk.as_file().set_len(512 * MIB).unwrap();
        let images = table.images().unwrap();
        disk.as_file()
            .write_all_at(&images.tail, table.layout.table_tail().start)
            .unwrap();
        disk.as_file().write_all_at(&images.head[..1024], 0).unwrap();
        let kernel = RecordingResize::default();
        assert!(grow(disk.path(), &kernel).unwrap().is_some());
        let mut head = vec![0; images.head.len()];
        disk.as_file().read_exact_at(&mut head, 0).unwrap();
        assert_eq!(head, images.head);
        assert_eq!(grow(disk.path(), &kernel).unwrap(), None);
    }

    #[test]
    fn a_foreign_disk_is_left_alone() {
        let disk = tempfile::NamedTempFile::new().unwrap();
        disk.as_file().set_len(1024 * 1024).unwrap();
        assert!(matches!(
            grow(disk.path(), &RecordingResize::default()),
            Err(Error::Table { .. })
        ));
    }
}
