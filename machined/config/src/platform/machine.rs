//! What firmware and device tree say about the machine.

use std::path::{Path, PathBuf};
use std::{fs, io};

use cloud::firmware::Field;

/// Where Linux shows SMBIOS.
const SMBIOS: &str = "sys/class/dmi/id";
/// Files that tell the machine's UUID and serial number, the first that there is.
const UUID: &[&str] = &["sys/class/dmi/id/product_uuid"];
const SERIAL: &[&str] = &[
    "sys/class/dmi/id/product_serial",
    "proc/device-tree/serial-number",
];
/// A longer text is no serial number, and no address.
const LONGEST: usize = 4096;

/// The machine's own files in `/sys` and `/proc`.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    root: PathBuf,
}

impl Machine {
    /// The machine that this runs on.
    pub(super) fn here() -> Self {
        Machine::below(Path::new("/"))
    }

    /// A machine whose files are below a folder.
    pub(super) fn below(root: &Path) -> Self {
        Machine {
            root: root.to_owned(),
        }
    }

    /// Returns the UUID, if it can be part of an address, in lower case.
    pub(super) fn uuid(&self) -> Option<String> {
        self.plain(UUID)
    }

    /// Returns the serial number, if it can be part of an address, in lower case.
    pub(super) fn serial(&self) -> Option<String> {
        self.plain(SERIAL)
    }

    /// Returns the serial number as it is: it may name a server.
    pub(super) fn serial_as_it_is(&self) -> Option<String> {
        SERIAL.iter().find_map(|file| self.read(file))
    }

    /// Returns what the firmware says in a field.
    pub(super) fn field(&self, field: Field) -> Option<String> {
        self.read(&format!("{SMBIOS}/{}", field.file()))
    }

    /// Reads the first of these files that says something. Only what may stand in an address counts.
    fn plain(&self, files: &[&str]) -> Option<String> {
        let mut texts = files.iter().filter_map(|file| self.read(file));
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
        let found = texts.find(|text| text.chars().all(plain))?;
        Some(found.to_lowercase())
    }

    fn read(&self, file: &str) -> Option<String> {
        let read: io::Result<String> = fs::read_to_string(self.root.join(file));
        let text = read.ok()?;
        let text = text.trim_matches(['\0', '\n', ' ']);
        (1..=LONGEST).contains(&text.len()).then(|| text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_number_that_is_no_part_of_an_address_is_none() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join(SMBIOS)).unwrap();
        let machine = Machine::below(root.path());
        for odd in ["To be filled by O.E.M.", "../../x", "a?b", ""] {
            fs::write(root.path().join(SERIAL[0]), odd).unwrap();
            assert_eq!(machine.serial(), None, "{odd}");
        }
        fs::write(root.path().join(SERIAL[0]), "ABC-1\n").unwrap();
        assert_eq!(machine.serial().as_deref(), Some("abc-1"));
        assert_eq!(machine.serial_as_it_is().as_deref(), Some("ABC-1"));
        assert_eq!(machine.uuid(), None);
    }
}
