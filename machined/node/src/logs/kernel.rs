//! The kernel's log, from `/dev/kmsg`.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use tokio::net::unix::pipe::Receiver;

/// One record of the kernel's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its number; gaps mean that records were overwritten before they were read.
    pub sequence: u64,
    /// Microseconds since the kernel started.
    pub uptime_us: u64,
    /// Severity by syslog's numbers: 0 emergency to 7 debug.
    pub severity: u32,
    /// Facility by syslog's numbers: 0 is the kernel itself.
    pub facility: u32,
    /// The text.
    pub text: String,
}

/// Reads one record as `/dev/kmsg` gives it: `prefix,sequence,microseconds,flags;text`, then further lines.
pub fn parse(bytes: &[u8]) -> Option<Record> {
    let text = String::from_utf8_lossy(bytes);
    let (head, rest) = text.split_once(';')?;
    let mut fields = head.split(',');
    let prefix: u32 = fields.next()?.parse().ok()?;
    let sequence = fields.next()?.parse().ok()?;
    let uptime_us = fields.next()?.parse().ok()?;
    // Lines that start with a space carry the device, not the message.
    let text = rest
        .lines()
        .take_while(|line| !line.starts_with(' '))
        .collect::<Vec<_>>()
        .join("\n");
    Some(Record {
        sequence,
        uptime_us,
        severity: prefix & 7,
        facility: prefix >> 3,
        text,
    })
}

/// A reader that follows the kernel's log.
pub struct KernelLog {
    records: Receiver,
    /// Set when it was waited once for something to be there.
    looked: bool,
}

/// The longest record the kernel makes, with room.
const LONGEST: usize = 8192;
/// After this time without a record the log is taken to be empty.
const SILENCE: Duration = Duration::from_millis(100);

impl KernelLog {
    /// Opens the log at its oldest record. Must be called inside a tokio runtime.
    pub fn open() -> io::Result<Self> {
        let file = File::options()
            .read(true)
            .custom_flags(sys::filesystem::NONBLOCK)
            .open("/dev/kmsg")?;
        // It is no pipe, but is read and polled like one.
        Ok(KernelLog {
            records: Receiver::from_owned_fd_unchecked(file.into())?,
            looked: false,
        })
    }

    /// Takes the next of the records that are there already; none once all have been taken.
    pub async fn next_present(&mut self) -> io::Result<Option<Record>> {
        if !self.looked {
            // Nothing is known to be readable before the first look; a log that stays silent is empty.
            if let Ok(ready) = tokio::time::timeout(SILENCE, self.records.readable()).await {
                ready?;
            }
            self.looked = true;
        }
        self.take()
    }

    /// Finds the number of the first of the last `count` records. Reads the log once for that and keeps only numbers:
    /// the log of a node that has run for long is larger than what one caller may cost.
    pub async fn start_of_last(count: usize) -> io::Result<u64> {
        let mut log = KernelLog::open()?;
        let mut last = VecDeque::new();
        while let Some(record) = log.next_present().await? {
            last.push_back(record.sequence);
            if last.len() > count {
                last.pop_front();
            }
        }
        Ok(last.front().copied().unwrap_or(0))
    }

    /// Waits for the next record. Cancel safe.
    pub async fn next(&mut self) -> io::Result<Record> {
        loop {
            if let Some(record) = self.take()? {
                return Ok(record);
            }
            self.records.readable().await?;
        }
    }

    /// Takes one record; none when there is no more now. What cannot be understood is skipped.
    fn take(&mut self) -> io::Result<Option<Record>> {
        let mut buffer = [0; LONGEST];
        loop {
            match self.records.try_read(&mut buffer) {
                Ok(0) => return Ok(None),
                Ok(len) => {
                    if let Some(record) = parse(&buffer[..len]) {
                        return Ok(Some(record));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                // The record was overwritten while we looked; the next read goes on with the oldest one left.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_prefix_time_and_text() {
        let record = parse(b"30,42,1234567,-;machined: up\n SUBSYSTEM=block\n").unwrap();
        let expected = Record {
            sequence: 42,
            uptime_us: 1_234_567,
            severity: 6,
            facility: 3,
            text: "machined: up".into(),
        };
        assert_eq!(record, expected);
    }

    #[test]
    fn what_belongs_to_the_device_is_no_text() {
        let record = parse(b"6,1,2,c;one\n SUBSYSTEM=block\n DEVICE=b8:0\n").unwrap();
        assert_eq!(
            (record.severity, record.facility, record.text.as_str()),
            (6, 0, "one")
        );
        for wrong in ["", ";", "6,1;x", "x,1,2,-;x", "6,1,2,-"] {
            assert_eq!(parse(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[tokio::test]
    async fn this_machines_log_is_read_to_its_end_in_order() {
        let mut log = match KernelLog::open() {
            Ok(log) => log,
            Err(error) => return eprintln!("/dev/kmsg cannot be read here, and was not tried: {error}"),
        };
        let mut records = Vec::new();
        while let Some(record) = log.next_present().await.unwrap() {
            records.push(record);
        }
        assert!(!records.is_empty());
        assert!(records.windows(2).all(|pair| pair[0].sequence < pair[1].sequence));
        let waited = tokio::time::timeout(SILENCE, log.next()).await;
        let last = records[records.len() - 1].sequence;
        assert!(waited.is_err() || waited.unwrap().unwrap().sequence > last);
        let few = KernelLog::start_of_last(3).await.unwrap();
        assert!(few >= records[records.len().saturating_sub(3)].sequence);
        assert!(KernelLog::start_of_last(usize::MAX).await.unwrap() <= few);
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }
    }
}
