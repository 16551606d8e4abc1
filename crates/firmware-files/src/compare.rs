//! Holds what is on a partition against what a release puts there.

use manifest::Digest;

use crate::Listed;

/// A file of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its path, without leading slash.
    pub path: String,
    /// Its length in bytes.
    pub size: u64,
    /// Hash of its bytes; none when it cannot be read.
    pub sha256: Option<Digest>,
}

/// How a file of the partition differs from the release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    /// It has other bytes.
    Changed,
    /// It is as another release left it: with the bytes of that one, or not there where that one does not have it.
    OtherRelease,
    /// It is not there.
    Missing,
    /// It cannot be read.
    Damaged,
    /// No release put it there, and firmware may act on it.
    Unknown,
}

/// Folders and files that computers leave on a card that is put into them, and what U-Boot and edk2 keep there for themselves.
const TOLERATED: [&str; 9] = [
    "system volume information",
    ".trashes",
    ".fseventsd",
    ".spotlight-v100",
    ".temporaryitems",
    ".ds_store",
    "fsck0000.rec",
    "ubootefi.var",
    "nvvars",
];

/// Lists the differences by path. `before` are the files that another release of ours put there.
pub fn compare(expected: &[Listed], before: &[Listed], found: &[Found]) -> Vec<(String, Difference)> {
    let mut differences = Vec::new();
    for file in expected {
        let on_disk = found
            .iter()
            .find(|found| found.path.eq_ignore_ascii_case(&file.path));
        let is =
            |listed: &Listed, found: &Found| listed.size == found.size && Some(listed.sha256) == found.sha256;
        let same_name = |found: &&Found| found.path.eq_ignore_ascii_case(&file.path);
        let difference = match on_disk {
            // Nobody knows which of two files of one name firmware reads.
            Some(_) if found.iter().filter(same_name).count() > 1 => Difference::Damaged,
            None if !before.is_empty() && of(before, &file.path).is_none() => Difference::OtherRelease,
            None => Difference::Missing,
            Some(found) if is(file, found) => continue,
            Some(found) if found.sha256.is_none() => Difference::Damaged,
            Some(found) if of(before, &file.path).is_some_and(|old| is(old, found)) => {
                Difference::OtherRelease
            }
            Some(_) => Difference::Changed,
        };
        differences.push((file.path.clone(), difference));
    }
    for found in found {
        if of(expected, &found.path).is_some() || is_tolerated(&found.path) {
            continue;
        }
        let old = of(before, &found.path);
        let known = old.is_some_and(|old| old.size == found.size && Some(old.sha256) == found.sha256);
        let difference = if known {
            Difference::OtherRelease
        } else {
            Difference::Unknown
        };
        differences.push((found.path.clone(), difference));
    }
    differences.sort();
    differences
}

fn of<'l>(files: &'l [Listed], path: &str) -> Option<&'l Listed> {
    files.iter().find(|file| file.path.eq_ignore_ascii_case(path))
}

fn is_tolerated(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let first = lower.split('/').next().unwrap_or_default();
    let last = lower.rsplit('/').next().unwrap_or_default();
    TOLERATED.contains(&first) || last.starts_with("._")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(path: &str, data: &[u8]) -> Found {
        let Listed { path, size, sha256 } = Listed::of(path, data);
        Found {
            path,
            size,
            sha256: Some(sha256),
        }
    }

    #[test]
    fn each_difference_is_told_by_name() {
        let expected = [
            "EFI/BOOT/BOOTAA64.EFI",
            "config.txt",
            "new.dtb",
            "start4.elf",
            "u-boot.bin",
        ];
        let expected = expected.map(|path| Listed::of(path, b"new"));
        let before = [
            Listed::of("config.txt", b"old"),
            Listed::of("u-boot.bin", b"old"),
            Listed::of("gone.dtb", b"old"),
            Listed::of("autoboot.txt", b"old"),
        ];
        let damaged = Found {
            sha256: None,
            ..found("start4.elf", b"new")
        };
        let on_disk = [
            found("efi/boot/bootaa64.efi", b"new"),
            found("u-boot.bin", b"old"),
            damaged,
            found("gone.dtb", b"old"),
            found("autoboot.txt", b"something else"),
            found("recovery.bin", b"x"),
            found("System Volume Information/IndexerVolumeGuid", b"x"),
            found("EFI/._BOOT", b"x"),
            found("ubootefi.var", b"x"),
        ];
        let differences = compare(&expected, &before, &on_disk);
        let differences: Vec<(&str, Difference)> = differences
            .iter()
            .map(|(path, difference)| (path.as_str(), *difference))
            .collect();
        assert_eq!(
            differences,
            [
                ("autoboot.txt", Difference::Unknown),
                ("config.txt", Difference::Missing),
                ("gone.dtb", Difference::OtherRelease),
                ("new.dtb", Difference::OtherRelease),
                ("recovery.bin", Difference::Unknown),
                ("start4.elf", Difference::Damaged),
                ("u-boot.bin", Difference::OtherRelease),
            ]
        );
    }

    proptest! {
        /// Of the files of a release, none that differs by as little as a byte goes unnoticed, and no other is named.
        #[test]
        fn exactly_what_differs_is_named(contents in proptest::collection::vec((any::<u8>(), any::<u8>()), 1..9)) {
            let expected: Vec<Listed> =
                contents.iter().enumerate().map(|(at, (one, _))| Listed::of(&format!("f{at}"), &[*one])).collect();
            let on_disk: Vec<Found> =
                contents.iter().enumerate().map(|(at, (_, two))| found(&format!("F{at}"), &[*two])).collect();
            let named: Vec<String> = compare(&expected, &[], &on_disk).into_iter().map(|(path, _)| path).collect();
            let differing: Vec<String> = contents
                .iter()
                .enumerate()
                .filter(|(_, (one, two))| one != two)
                .map(|(at, _)| format!("f{at}"))
                .collect();
            prop_assert_eq!(named, differing);
        }
    }
}
