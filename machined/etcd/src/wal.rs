//! Tells whether etcd's write-ahead log holds anything, and whose it is.
//!
//! A log without an entry holds nothing that etcd ever acknowledged: etcd created it and was cut off before its first
//! write. Source of the format: etcd's `server/storage/wal/{encoder,decoder}.go` and `walpb/record.proto`.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::Path;

/// The type of a record that says whose the log is.
const METADATA: u64 = 1;
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

/// Whose a write-ahead log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The member.
    pub member: u64,
    /// The cluster, by etcd's own count.
    pub cluster: u64,
}

/// Reads whose the log in a folder is; none where there is none, or it cannot be understood.
pub(crate) fn identity(folder: &Path) -> Option<Identity> {
    let files = fs::read_dir(folder).ok()?.filter_map(Result::ok);
    let mut logs: Vec<_> = files
        .map(|entry| entry.path())
        .filter(|path| is_log(path))
        .collect();
    // Each file begins with it; the newest may be torn.
    logs.sort();
    let mut records = Records(BufReader::new(File::open(logs.first()?).ok()?));
    while let Some(record) = records.next().ok()? {
        if field(&record, 1)?.number() == Some(METADATA) {
            let data = field(&record, 3)?.bytes()?;
            let number = |of| field(data, of).and_then(Field::number);
            return Some(Identity {
                member: number(1)?,
                cluster: number(2)?,
            });
        }
    }
    None
}

fn is_log(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == EXTENSION)
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
        if !is_log(&path) {
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
fn holds_entries(file: impl Read) -> io::Result<bool> {
    let mut records = Records(file);
    loop {
        match records.next() {
            Ok(Some(record))
                if field(&record, 1)
                    .and_then(Field::number)
                    .is_none_or(|kind| kind == ENTRY) =>
            {
                return Ok(true);
            }
            Ok(Some(_)) => {}
            Ok(None) => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(true),
            Err(error) => return Err(error),
        }
    }
}

/// The records of one file.
struct Records<R>(R);

impl<R: Read> Records<R> {
    /// Reads the next record; none at the end, or where it is torn: etcd cuts that off, too, and never acknowledged it.
    fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut word = [0; 8];
        match self.0.read_exact(&mut word) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        let word = u64::from_le_bytes(word);
        // Files are made longer than what is in them.
        if word == 0 {
            return Ok(None);
        }
        // The upper byte says how the record was filled up to whole words.
        let (length, filling) = (word & 0x00ff_ffff_ffff_ffff, word >> 56);
        let padding = if filling & 0x80 == 0 { 0 } else { filling & 7 };
        if length > LONGEST {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let (mut record, whole) = (Vec::new(), length + padding);
        if (&mut self.0).take(whole).read_to_end(&mut record)? as u64 != whole {
            return Ok(None);
        }
        record.truncate(usize::try_from(length).unwrap_or(usize::MAX));
        Ok(Some(record))
    }
}

/// A field of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Field<'a> {
    fn number(self) -> Option<u64> {
        match self {
            Self::Number(value) => Some(value),
            Self::Bytes(_) => None,
        }
    }

    fn bytes(self) -> Option<&'a [u8]> {
        match self {
            Self::Bytes(value) => Some(value),
            Self::Number(_) => None,
        }
    }
}

/// Finds the first field of that number in a message of numbers and bytes.
fn field(mut message: &[u8], wanted: u64) -> Option<Field<'_>> {
    loop {
        let tag = number(&mut message)?;
        let value = match tag & 7 {
            0 => Field::Number(number(&mut message)?),
            2 => {
                let length = usize::try_from(number(&mut message)?).ok()?;
                let (value, rest) = message.split_at_checked(length)?;
                message = rest;
                Field::Bytes(value)
            }
            _ => return None,
        };
        if tag >> 3 == wanted {
            return Some(value);
        }
    }
}

/// Takes a number of variable length off the front.
fn number(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
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
        assert_eq!(identity(&wal), None);
        fs::write(
            wal.join("0-0.wal"),
            [record(4, b""), record(1, &[8, 200, 1, 16, 3])].concat(),
        )
        .unwrap();
        let (member, cluster) = (200, 3);
        assert_eq!(identity(&wal), Some(Identity { member, cluster }));
        fs::write(wal.join("1-1.wal"), record(2, b"x")).unwrap();
        assert_eq!(look(&wal).unwrap(), Log::Used);
    }

    proptest! {
        #[test]
        fn anything_is_read_to_an_end(log: Vec<u8>) {
            holds_entries(log.as_slice()).unwrap();
            field(&log, 3);
        }
    }
}
