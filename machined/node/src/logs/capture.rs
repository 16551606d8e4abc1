//! Logs what a service writes.
//!
//! One pipe serves all processes a service ever has: a program that outlives the one that started it, such as a
//! containerd shim, still has somebody who listens, and a start costs no new task.

use std::io::{self, PipeWriter};
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::time::Duration;

use state::tasks;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::{LONGEST_LINE, Line, Ring, say};

/// How long the rest of a line may take before it is shown as it is.
const PATIENCE: Duration = Duration::from_millis(500);
/// How much is read at once.
const PIECE: usize = 4096;

/// A pipe whose content is logged for as long as it lives.
#[derive(Debug)]
pub struct Capture {
    writer: PipeWriter,
    _reader: AbortOnDropHandle<()>,
}

impl Capture {
    /// Starts to take down into a ring. Must be called inside a tokio runtime.
    pub fn start(ring: Ring<Line>) -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        // Nobody to read would in the end stop the service: its pipe would be full.
        let task = tasks::keep("reading the output of a service", move || {
            let receiver = reader
                .try_clone()
                .map(OwnedFd::from)
                .and_then(Receiver::from_owned_fd);
            let ring = ring.clone();
            async move { take_down(receiver?, ring).await }
        });
        Ok(Capture {
            writer,
            _reader: task,
        })
    }

    /// Returns the end of the pipe that a program is given.
    pub fn stdio(&self) -> io::Result<Stdio> {
        Ok(Stdio::from(self.writer.try_clone()?))
    }
}

async fn take_down(mut pipe: Receiver, ring: Ring<Line>) -> io::Result<()> {
    let mut lines = Lines::default();
    let mut bytes = Vec::with_capacity(PIECE);
    loop {
        let read = pipe.read_buf(&mut bytes);
        let read = match lines.is_between() {
            true => Some(read.await),
            // Cancel safe: `read_buf` takes nothing from the pipe unless it returns it.
            false => timeout(PATIENCE, read).await.ok(),
        };
        match read {
            None => lines.flush(|line| say(&ring, line)),
            Some(Ok(0)) => {
                lines.flush(|line| say(&ring, line));
                return Ok(());
            }
            Some(Ok(_)) => {
                lines.push(&bytes, |line| say(&ring, line));
                bytes.clear();
            }
            Some(Err(error)) => return Err(error),
        }
    }
}

/// A cutter of bytes into lines.
#[derive(Default)]
struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    fn is_between(&self) -> bool {
        self.begun.is_empty()
    }

    fn push(&mut self, mut bytes: &[u8], mut line: impl FnMut(&str)) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.begun.extend_from_slice(&bytes[..end]);
            bytes = &bytes[end + 1..];
            self.flush_even_empty(&mut line);
        }
        self.begun.extend_from_slice(bytes);
        while self.begun.len() >= LONGEST_LINE {
            let rest = self.begun.split_off(LONGEST_LINE);
            self.flush_even_empty(&mut line);
            self.begun = rest;
        }
    }

    fn flush(&mut self, line: impl FnMut(&str)) {
        if !self.begun.is_empty() {
            self.flush_even_empty(line);
        }
    }

    fn flush_even_empty(&mut self, mut line: impl FnMut(&str)) {
        for part in self.begun.chunks(LONGEST_LINE) {
            line(&String::from_utf8_lossy(part));
        }
        if self.begun.is_empty() {
            line("");
        }
        self.begun.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    fn cut(pieces: &[&[u8]]) -> Vec<String> {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        for piece in pieces {
            lines.push(piece, |line| found.push(line.to_owned()));
        }
        lines.flush(|line| found.push(line.to_owned()));
        found
    }

    #[test]
    fn lines_are_joined_across_reads() {
        assert_eq!(
            cut(&[b"on", b"e\n\ntwo\nthr", b"ee"]),
            ["one", "", "two", "three"]
        );
        assert_eq!(cut(&[b"\xff\n"]), ["\u{fffd}"]);
        assert_eq!(cut(&[]), [""; 0]);
    }

    #[test]
    fn what_has_no_end_is_cut() {
        let long = vec![b'x'; 2 * LONGEST_LINE + 1];
        let lengths: Vec<usize> = cut(&[&long, b"\n"]).iter().map(String::len).collect();
        assert_eq!(lengths, [LONGEST_LINE, LONGEST_LINE, 1]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_wherever_reads_end(text in "[a-z\n]{0,200}", at in 0..200_usize) {
            let at = at.min(text.len());
            let expected: Vec<&str> = text.lines().collect();
            prop_assert_eq!(cut(&[&text.as_bytes()[..at], &text.as_bytes()[at..]]), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_without_an_end_is_shown_after_a_while() {
        let ring = Ring::new(1000);
        let mut reader = ring.reader(None);
        let capture = Capture::start(ring).unwrap();
        (&capture.writer).write_all(b"whole\nhalf").unwrap();
        assert_eq!(reader.next().await.item.text, "whole");
        assert_eq!(reader.next().await.item.text, "half");
    }
}
