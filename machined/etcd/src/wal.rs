//! Tells whether etcd's write-ahead log holds anything.
//!
//! A log without an entry holds nothing that etcd ever acknowledged: etcd created it and was cut off before its first
//! write. Source of the format: etcd's `server/storage/wal/{encoder,decoder}.go` and `walpb/record.proto`.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::Path;

/// The type of a record that holds an entry of the log.
const ENTRY: u64 = 2;
/// The longest record that is looked into: etcd takes requests of 1.5 MiB.
const LONGEST: u64 = 64 << 20;
/// The end of the names of a log's files.
const EXTENSION: &str = "wal";

/// What is in a write-ahead log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Log {
    /// There is none.
    Absent,
    /// It holds no entry.
    Fresh,
    /// It holds entries, or cannot be understood: it may hold some.
    Used,
}

/// Looks into the log in a folder.
///
/// # Errors
///
/// The file system's error; a folder that is not there is none.
pub(crate) fn look(folder: &Path) -> io::Result<Log> {
    let listed = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Log::Absent),
        listed => listed?,
    };
    let mut found = Log::Absent;
    for entry in listed {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != EXTENSION) {
            continue;
        }
        if holds_entries(BufReader::new(File::open(&path)?))? {
            return Ok(Log::Used);
        }
        found = Log::Fresh;
    }
    Ok(found)
}

/// Tells whether a file of a log holds an entry. What cannot be understood may hold one.
fn holds_entries(mut file: impl Read) -> io::Result<bool> {
    loop {
        let mut word = [0; 8];
        match file.read_exact(&mut word) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            read => read?,
        }
        let word = u64::from_le_bytes(word);
        // Files are made longer than what is in them.
        if word == 0 {
            return Ok(false);
        }
        // The upper byte says how the record was filled up to whole words.
        let (length, filling) = (word & 0x00ff_ffff_ffff_ffff, (word >> 56) as u8);
        let padding = if filling & 0x80 == 0 {
            0
        } else {
            u64::from(filling & 7)
        };
        if length > LONGEST {
            return Ok(true);
        }
        let mut record = Vec::new();
        let whole = length + padding;
        if (&mut file).take(whole).read_to_end(&mut record)? as u64 != whole {
            // Torn: etcd cuts it off, too, and it was never acknowledged.
            return Ok(false);
        }
        if record_type(&record).is_none_or(|kind| kind == ENTRY) {
            return Ok(true);
        }
    }
}

/// Reads the first field of a record: its type.
fn record_type(record: &[u8]) -> Option<u64> {
    // Field 1, a number.
    let (8, mut rest) = record.split_first().map(|(tag, rest)| (*tag, rest))? else {
        return None;
    };
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
        rest = after;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(kind: u8, data: &[u8]) -> Vec<u8> {
        let mut body = vec![8, kind, 16, 1, 26, data.len() as u8];
        body.extend(data);
        let padding = (8 - body.len() % 8) % 8;
        let filling = if padding == 0 { 0 } else { 0x80 | padding as u64 };
        let mut all = (body.len() as u64 | filling << 56).to_le_bytes().to_vec();
        all.extend(body);
        all.extend(vec![0; padding]);
        all
    }

    #[test]
    fn only_a_log_without_entries_is_fresh() {
        let fresh = [
            record(4, b""),
            record(1, b"metadata"),
            record(5, b"snapshot"),
            record(3, b"state"),
        ];
        let mut log = fresh.concat();
        let holds = |log: &[u8]| holds_entries(log).unwrap();
        assert!(!holds(&log));
        log.extend([0; 512]);
        assert!(!holds(&log), "the file is longer than what is in it");
        let mut log = fresh.concat();
        log.extend(record(2, b"entry"));
        assert!(holds(&log));
        assert!(!holds(&log[..log.len() - 3]), "the entry is torn");
        log[fresh.concat().len() + 8] = 0x77;
        assert!(holds(&log), "what is not understood may be an entry");
    }

    #[test]
    fn the_folder_decides() {
        let folder = tempfile::tempdir().unwrap();
        let wal = folder.path().join("wal");
        assert_eq!(look(&wal).unwrap(), Log::Absent);
        fs::create_dir(&wal).unwrap();
        fs::write(wal.join("0.tmp"), record(2, b"x")).unwrap();
        assert_eq!(look(&wal).unwrap(), Log::Absent);
        fs::write(wal.join("0-0.wal"), record(1, b"x")).unwrap();
        assert_eq!(look(&wal).unwrap(), Log::Fresh);
        fs::write(wal.join("1-1.wal"), record(2, b"x")).unwrap();
        assert_eq!(look(&wal).unwrap(), Log::Used);
    }

    proptest! {
        #[test]
        fn anything_is_read_to_an_end(log: Vec<u8>) {
            holds_entries(log.as_slice()).unwrap();
        }
    }
}
