//! What a program said last, which is why it failed.

use std::io;
use std::os::fd::OwnedFd;
use std::process::Command;

use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;

/// The longest line that is shown, in characters.
const LINE: usize = 400;
/// How many bytes of what was said last are kept, at least.
const KEPT: usize = 4096;

/// What a program prints and complains. However much that is, only the end of it is kept.
#[derive(Debug)]
pub struct LastWords {
    pipe: Receiver,
    kept: Tail,
}

impl LastWords {
    /// Listens to a program that is about to be started. [`LastWords::listen`] must go on beside it: a program whose words nobody
    /// takes waits.
    ///
    /// # Errors
    ///
    /// There can be no pipe, or this is no task of a runtime.
    pub fn of(command: &mut Command) -> io::Result<LastWords> {
        let (reader, writer) = io::pipe()?;
        command.stdout(writer.try_clone()?).stderr(writer);
        let pipe = Receiver::from_owned_fd(OwnedFd::from(reader))?;
        Ok(LastWords {
            pipe,
            kept: Tail::default(),
        })
    }

    /// Listens until nobody can say anything any more: the program, what it started, and the command, which must be dropped.
    pub async fn listen(&mut self) {
        let mut piece = [0; 1024];
        while let Ok(count @ 1..) = self.pipe.read(&mut piece).await {
            self.kept.add(&piece[..count]);
        }
    }

    /// Returns the last line that says something, as one that can be shown anywhere.
    pub fn line(&self) -> Option<String> {
        self.kept.line()
    }
}

/// The end of a text that may be long.
#[derive(Debug, Default)]
pub struct Tail(Vec<u8>);

impl Tail {
    /// Adds what follows, and forgets what is far back.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
        if self.0.len() > 2 * KEPT {
            self.0.drain(..self.0.len() - KEPT);
        }
    }

    /// Returns the last line that says something, as one that can be shown anywhere.
    pub fn line(&self) -> Option<String> {
        let text = String::from_utf8_lossy(&self.0);
        let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
        let shown = |letter: char| if letter.is_control() { '?' } else { letter };
        Some(line.chars().map(shown).take(LINE).collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(text: &[u8]) -> Option<String> {
        let mut tail = Tail::default();
        tail.add(text);
        tail.line()
    }

    #[test]
    fn the_last_line_that_says_something_counts() {
        assert_eq!(
            line(b"{\"info\"}\n\n no such file\n \n").as_deref(),
            Some("no such file")
        );
        assert_eq!(line(b" \n"), None);
        assert_eq!(line(b"\x1b[31mred\x07").as_deref(), Some("?[31mred?"));
        assert_eq!(line(&[b'x'; 999]).map(|line| line.len()), Some(LINE));
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(text in "[a-z\n]{0,300}", at in 0usize..300) {
            let (one, other) = text.as_bytes().split_at(at.min(text.len()));
            let mut tail = Tail::default();
            tail.add(one);
            tail.add(other);
            prop_assert_eq!(tail.line(), line(text.as_bytes()));
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut tail = Tail::default();
        for _ in 0..1000 {
            tail.add(&[b'x'; 100]);
            assert!(tail.0.len() <= 2 * KEPT);
        }
    }

    #[tokio::test]
    async fn a_program_that_says_much_is_heard_to_its_end() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "seq 100000; echo over >&2"]);
        let mut words = LastWords::of(&mut command).unwrap();
        let mut child = command.spawn().unwrap();
        drop(command);
        words.listen().await;
        child.wait().unwrap();
        assert_eq!(words.line().as_deref(), Some("over"));
    }
}
