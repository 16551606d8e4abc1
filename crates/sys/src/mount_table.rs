//! The table of mounts.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;
use std::{fs, io};

/// A mounted file system, as the kernel lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mounted {
    /// Major and minor number of its device.
    pub number: (u64, u64),
    /// Where it is mounted.
    pub target: PathBuf,
    /// The options of this mount, such as `ro` and `nosuid`.
    pub options: Vec<String>,
    /// The file system's type.
    pub fstype: String,
    /// The device, or the name of a virtual file system. May be empty.
    pub source: String,
    /// The options of the file system, wherever it is mounted.
    pub super_options: Vec<String>,
}

impl Mounted {
    /// Returns true if nothing can be written through this mount.
    pub fn is_read_only(&self) -> bool {
        [&self.options, &self.super_options]
            .into_iter()
            .flatten()
            .any(|option| option == "ro")
    }
}

/// Lists the mounts of this process, in the order in which they were mounted.
///
/// # Errors
///
/// Fails without `/proc`.
pub fn load() -> io::Result<Vec<Mounted>> {
    fs::read("/proc/self/mountinfo").map(|table| parse(&table))
}

/// Parses `/proc/PID/mountinfo`; malformed lines are skipped.
///
/// Takes bytes: the kernel escapes what would end a field, and passes on any other byte of a path.
pub fn parse(table: &[u8]) -> Vec<Mounted> {
    table.split(|byte| *byte == b'\n').filter_map(line).collect()
}

/// Parses `ID PARENT MAJOR:MINOR ROOT TARGET OPTIONS TAGS… - TYPE SOURCE SUPER-OPTIONS`.
fn line(line: &[u8]) -> Option<Mounted> {
    // One space between fields: a source may be empty.
    let mut fields = line.split(|byte| *byte == b' ');
    let number = text(fields.nth(2)?);
    let (major, minor) = number.split_once(':')?;
    let target = unescape(fields.nth(1)?);
    let options = list(fields.next()?);
    let mut behind = fields.skip_while(|field| *field != b"-").skip(1);
    Some(Mounted {
        number: (major.parse().ok()?, minor.parse().ok()?),
        target: OsString::from_vec(target).into(),
        options,
        fstype: text(behind.next()?),
        source: text(behind.next()?),
        super_options: behind.next().map(list).unwrap_or_default(),
    })
}

fn list(field: &[u8]) -> Vec<String> {
    text(field).split(',').map(str::to_owned).collect()
}

fn text(field: &[u8]) -> String {
    String::from_utf8_lossy(&unescape(field)).into_owned()
}

/// Undoes the kernel's escaping of space, tab, newline, backslash and `#`: a backslash and three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, behind)) = rest.split_first() {
        match behind {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', behind @ ..] if *first == b'\\' => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = behind;
            }
            _ => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fields_are_read_and_unescaped() {
        let table =
            b"36 35 98:0 / /mnt/a\\040b rw,noatime master:1 shared:2 - ext4 /dev/root ro,errors=continue\n\
            37 36 0:44 /x /mnt/\xff rw - tmpfs  rw\nnonsense\n";
        let [disk, memory] = parse(table).try_into().unwrap();
        assert_eq!(
            disk,
            Mounted {
                number: (98, 0),
                target: "/mnt/a b".into(),
                options: vec!["rw".into(), "noatime".into()],
                fstype: "ext4".into(),
                source: "/dev/root".into(),
                super_options: vec!["ro".into(), "errors=continue".into()],
            }
        );
        assert!(disk.is_read_only() && !memory.is_read_only());
        assert_eq!(memory.target.as_os_str().as_bytes(), b"/mnt/\xff");
        assert_eq!((memory.source.as_str(), memory.fstype.as_str()), ("", "tmpfs"));
    }

    #[test]
    fn this_process_sees_its_root() {
        let mounted = load().unwrap();
        assert!(mounted.iter().any(|mounted| mounted.target == *"/"));
    }

    proptest! {
        #[test]
        fn every_path_round_trips(path in proptest::collection::vec(1u8.., 1..40)) {
            let escaped: Vec<u8> = path
                .iter()
                .flat_map(|byte| match byte {
                    b' ' | b'\t' | b'\n' | b'\\' | b'#' => format!("\\{byte:03o}").into_bytes(),
                    byte => vec![*byte],
                })
                .collect();
            let line = [b"1 2 3:4 / ", escaped.as_slice(), b" rw - x y z"].concat();
            let found = parse(&line);
            prop_assert_eq!(found.len(), 1);
            prop_assert_eq!(found[0].target.as_os_str().as_bytes(), path.as_slice());
        }

        #[test]
        fn nothing_panics(table in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = parse(&table);
        }
    }
}
