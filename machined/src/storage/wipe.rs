//! Forgets what a reset is to forget.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

use crate::power::ResetScope;

/// Says how much of a partition is overwritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// All of it: it may hold secrets.
    Whole,
    /// So much that the next boot finds it blank.
    Head,
}

/// Returns the partitions that a reset forgets, in order.
///
/// CONFIG goes too: a config that still lay there would bring the node back as it was.
pub fn plan(scope: ResetScope) -> Vec<(&'static str, Extent)> {
    let mut plan = vec![("CONFIG", Extent::Whole), ("STATE", Extent::Whole)];
    if scope == ResetScope::All {
        plan.push(("DATA", Extent::Head));
    }
    plan
}

/// The first superblock and the group descriptors behind it.
const HEAD: u64 = 4 * 1024 * 1024;

/// Overwrites a partition with zeros, and waits until they are on the medium.
pub fn wipe(device: &Path, extent: Extent) -> io::Result<()> {
    let mut file = File::options().write(true).open(device)?;
    let len = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(0))?;
    let zeros = vec![0; 256 * 1024];
    let mut left = if extent == Extent::Head {
        len.min(HEAD)
    } else {
        len
    };
    while left > 0 {
        let now = usize::try_from(left).unwrap_or(usize::MAX).min(zeros.len());
        file.write_all(&zeros[..now])?;
        left -= now as u64;
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_and_wholes_are_zeroed() {
        for (extent, zeroed) in [(Extent::Head, HEAD), (Extent::Whole, HEAD + 1000)] {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), vec![7; usize::try_from(HEAD).unwrap() + 1000]).unwrap();
            wipe(file.path(), extent).unwrap();
            let bytes = std::fs::read(file.path()).unwrap();
            assert_eq!(bytes.iter().take_while(|byte| **byte == 0).count() as u64, zeroed);
            assert_eq!(bytes.len() as u64, HEAD + 1000);
        }
    }

    #[test]
    fn data_is_kept_unless_all_is_to_go() {
        let names = |scope| plan(scope).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names(ResetScope::State), ["CONFIG", "STATE"]);
        assert_eq!(names(ResetScope::All), ["CONFIG", "STATE", "DATA"]);
    }
}
