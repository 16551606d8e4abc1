//! Mounted file systems, from `/proc/self/mountinfo`.

use std::path::Path;

use api::v1alpha1::{Mount, MountsResponse};

use super::{Host, text};

impl Host {
    /// Lists mounted file systems with their use. May wait for a slow disk.
    pub fn mounts(&self) -> MountsResponse {
        let lines = text(&self.proc.join("self/mountinfo"));
        let mut mounts: Vec<Mount> = lines.lines().filter_map(parse_line).collect();
        for mount in &mut mounts {
            if let Ok(room) = sys::filesystem::room(Path::new(&mount.target)) {
                mount.size_bytes = room.total;
                mount.available_bytes = room.available;
            }
        }
        MountsResponse { mounts }
    }
}

/// Reads `ID PARENT MAJOR:MINOR ROOT TARGET OPTIONS TAGS… - TYPE SOURCE SUPER-OPTIONS`.
fn parse_line(line: &str) -> Option<Mount> {
    let (left, right) = line.split_once(" - ")?;
    let left: Vec<&str> = left.split(' ').collect();
    let right: Vec<&str> = right.split(' ').collect();
    let read_only = |options: &str| options.split(',').any(|option| option == "ro");
    Some(Mount {
        source: unescape(right.get(1)?),
        target: unescape(left.get(4)?),
        file_system: (*right.first()?).to_owned(),
        read_only: read_only(left.get(5)?) || right.get(2).is_some_and(|options| read_only(options)),
        size_bytes: 0,
        available_bytes: 0,
        options: left.get(5)?.split(',').map(str::to_owned).collect(),
    })
}

/// Undoes the kernel's `\040` for bytes that would end a field.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let octal = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = octal
            .filter(|_| first == b'\\')
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(byte.unwrap_or(first));
        rest = if byte.is_some() { &after[3..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_a_line() {
        let line =
            r"36 35 98:0 / /mnt/a\040b rw,noatime master:1 shared:2 - ext4 /dev/root ro,errors=continue";
        let mount = parse_line(line).unwrap();
        assert_eq!(
            (mount.source.as_str(), mount.target.as_str()),
            ("/dev/root", "/mnt/a b")
        );
        assert_eq!((mount.file_system.as_str(), mount.read_only), ("ext4", true));
        assert_eq!(mount.options, ["rw", "noatime"]);
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,60}") {
            let _ = parse_line(&text);
            let _ = unescape(&text);
        }
    }
}
