//! The serial console of an emulated machine: a file that grows.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// A console's text, read from where the last match ended.
#[derive(Debug)]
pub struct Console {
    path: PathBuf,
    /// Bytes that earlier matches have used up.
    used: usize,
}

/// How often a console is looked at while something is waited for.
pub const LOOK_EVERY: Duration = Duration::from_millis(100);

impl Console {
    /// Follows the file, which need not be there yet.
    pub fn new(path: PathBuf) -> Console {
        Console { path, used: 0 }
    }

    /// Searches for one of the texts after the last match; returns the whole line, and goes on behind it.
    ///
    /// A line counts only when it is complete: what follows the text in it is wanted too.
    pub fn find(&mut self, texts: &[&str]) -> Option<String> {
        let all = self.text();
        let rest = all.get(self.used..)?;
        let mut at = 0;
        for line in rest.split_inclusive('\n') {
            at += line.len();
            if line.ends_with('\n') && texts.iter().any(|text| line.contains(text)) {
                self.used += at;
                return Some(line.trim_end().to_owned());
            }
        }
        None
    }

    /// Returns everything that was printed so far, without what only moves a cursor or sets a colour.
    pub fn text(&self) -> String {
        let bytes = std::fs::read(&self.path).unwrap_or_default();
        plain(&String::from_utf8_lossy(&bytes))
    }

    /// Returns the file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Returns the last lines of a text.
pub fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// Takes out terminal control sequences and carriage returns.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' => {
                if characters.next_if_eq(&'[').is_some() {
                    // Parameters, then one letter ends the sequence.
                    for character in characters.by_ref() {
                        if character.is_ascii_alphabetic() {
                            break;
                        }
                    }
                }
            }
            '\r' | '\0' => {}
            other => plain.push(other),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn console(name: &str, text: &str) -> Console {
        let path = std::env::temp_dir().join(format!("bedplate-console-{}-{name}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Console::new(path)
    }

    #[test]
    fn each_match_begins_behind_the_last() {
        let mut console = console("match", "one\r\nslot a: bad\nslot b: fine\nslot a");
        assert_eq!(
            console.find(&["slot a", "slot b"]).as_deref(),
            Some("slot a: bad")
        );
        assert_eq!(
            console.find(&["slot a", "slot b"]).as_deref(),
            Some("slot b: fine")
        );
        assert_eq!(console.find(&["slot a"]), None, "the last line is not complete");
        std::fs::remove_file(console.path()).unwrap();
    }

    #[test]
    fn control_sequences_are_taken_out() {
        assert_eq!(plain("\u{1b}[2J\u{1b}[01;32mok\u{1b}[0m\r\n"), "ok\n");
    }

    #[test]
    fn the_last_lines_are_given() {
        assert_eq!(last_lines("a\nb\nc\n", 2), "b\nc");
        assert_eq!(last_lines("a\n", 2), "a");
    }
}
