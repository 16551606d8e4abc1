//! The end of the kernel's log, without an async runtime: the initramfs has none.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;

use super::kernel::{Record, parse};

/// The longest record the kernel makes, with room.
const LONGEST: usize = 8192;

/// The newest lines, up to a number of bytes.
pub struct KernelTail {
    source: Option<File>,
    lines: VecDeque<String>,
    bytes: usize,
    most: usize,
}

impl KernelTail {
    /// Opens the kernel's log. Where there is none the tail stays empty.
    pub fn open(most: usize) -> Self {
        let source = File::options()
            .read(true)
            .custom_flags(sys::filesystem::NONBLOCK)
            .open("/dev/kmsg");
        KernelTail {
            source: source.ok(),
            lines: VecDeque::new(),
            bytes: 0,
            most,
        }
    }

    /// Takes what is new, without waiting; returns whether anything was.
    pub fn refresh(&mut self) -> bool {
        let mut buffer = [0; LONGEST];
        let mut came = false;
        while let Some(file) = &mut self.source {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(len) => {
                    if let Some(record) = parse(&buffer[..len]) {
                        self.push(&record);
                        came = true;
                    }
                }
                // The record was overwritten while we looked; the next read goes on with the oldest one left.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        came
    }

    /// Returns the lines as `dmesg` shows them.
    pub fn text(&self) -> String {
        let mut text = String::with_capacity(self.bytes);
        for line in &self.lines {
            text.push_str(line);
        }
        text
    }

    fn push(&mut self, record: &Record) {
        let (seconds, micros) = (record.uptime_us / 1_000_000, record.uptime_us % 1_000_000);
        for text in record.text.lines() {
            let line = format!("[{seconds:5}.{micros:06}] {text}\n");
            self.bytes += line.len();
            self.lines.push_back(line);
        }
        while self.bytes > self.most {
            let dropped = self.lines.pop_front().map_or(self.bytes, |line| line.len());
            self.bytes -= dropped;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(number: u64, text: &str) -> Record {
        Record {
            sequence: number,
            uptime_us: number * 1_500_000,
            severity: 6,
            facility: 0,
            text: text.into(),
        }
    }

    #[test]
    fn the_newest_lines_are_kept() {
        let mut tail = KernelTail {
            source: None,
            lines: VecDeque::new(),
            bytes: 0,
            most: 60,
        };
        for number in 0..10 {
            tail.push(&record(number, "some line"));
        }
        assert_eq!(
            tail.text(),
            "[   12.000000] some line\n[   13.500000] some line\n"
        );
        tail.push(&record(10, "two\nlines"));
        assert_eq!(tail.text(), "[   15.000000] two\n[   15.000000] lines\n");
        tail.push(&record(11, &"x".repeat(100)));
        assert_eq!((tail.text().as_str(), tail.refresh()), ("", false));
    }
}
