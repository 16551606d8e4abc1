//! Decodes bytes to text.

use std::fmt;

/// The byte order mark at the start of a text in UTF-8.
const MARK: char = '\u{feff}';

/// The bytes 0x80 to 0x9F in Windows-1252; Latin-1 proper has no printable characters there.
const WINDOWS: [char; 32] = [
    '€', '\u{fffd}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{fffd}', 'Ž', '\u{fffd}',
    '\u{fffd}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{fffd}', 'ž', 'Ÿ',
];

/// Why bytes are not usable text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextError {
    /// There are too many bytes.
    TooLong {
        /// The most bytes there may be.
        limit: usize,
    },
    /// Every character has two bytes, or four.
    Wide {
        /// UTF-16 or UTF-32.
        encoding: &'static str,
    },
    /// A byte is not part of a character in UTF-8.
    Latin {
        /// The line, from 1.
        line: usize,
        /// The byte.
        byte: u8,
        /// The character in Windows-1252, which is commonly called Latin-1.
        guess: char,
    },
    /// The last character is incomplete.
    Cut {
        /// The line, from 1.
        line: usize,
    },
    /// A byte that no text has.
    Binary {
        /// The line, from 1.
        line: usize,
    },
}

impl TextError {
    /// Returns the line that is wrong, from 1; 0 for the text as a whole.
    pub fn line(&self) -> usize {
        match self {
            TextError::TooLong { .. } | TextError::Wide { .. } => 0,
            TextError::Latin { line, .. } | TextError::Cut { line } | TextError::Binary { line } => *line,
        }
    }

    /// Returns what is wrong and how to fix it, without the line.
    pub fn message(&self) -> String {
        match self {
            TextError::TooLong { limit } => format!("it is too long: at most {limit} bytes are allowed"),
            TextError::Wide { encoding } => format!(
                "it is in {encoding}, as PowerShell's `>` writes it; save it as UTF-8: `… | Out-File -Encoding utf8 FILE`"
            ),
            TextError::Latin { byte, guess, .. } => format!(
                "it is not in UTF-8, but possibly in Latin-1, where byte 0x{byte:02X} is {guess:?}; save the file as UTF-8"
            ),
            TextError::Cut { .. } => "it ends in the middle of a character; fetch the file again".to_owned(),
            TextError::Binary { .. } => {
                "it has a byte of zero, which text never has; is it the right file?".to_owned()
            }
        }
    }
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())?;
        match self.line() {
            0 => Ok(()),
            line => write!(f, " (line {line})"),
        }
    }
}

impl std::error::Error for TextError {}

/// Returns the text in `bytes`, without the byte order mark that some editors put first.
///
/// # Errors
///
/// Fails when it is longer than `limit` bytes, is not UTF-8, or is not text at all.
pub fn decode(bytes: &[u8], limit: usize) -> Result<&str, TextError> {
    if bytes.len() > limit {
        return Err(TextError::TooLong { limit });
    }
    if let Some(encoding) = wide(bytes) {
        return Err(TextError::Wide { encoding });
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        let line = line_of(bytes, at);
        match (error.error_len(), bytes.get(at)) {
            (Some(_), Some(&byte)) => TextError::Latin {
                line,
                byte,
                guess: guess(byte),
            },
            _ => TextError::Cut { line },
        }
    })?;
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        return Err(TextError::Binary {
            line: line_of(bytes, at),
        });
    }
    Ok(text.strip_prefix(MARK).unwrap_or(text))
}

/// Names an encoding with wide characters, by its byte order mark or, without one, by zeros next to the first characters.
fn wide(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => Some("UTF-32"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some("UTF-16"),
        [a, 0, b, 0, ..] | [0, a, 0, b, ..] if *a != 0 && *b != 0 => Some("UTF-16"),
        _ => None,
    }
}

fn line_of(bytes: &[u8], at: usize) -> usize {
    1 + bytes[..at].iter().filter(|byte| **byte == b'\n').count()
}

fn guess(byte: u8) -> char {
    match byte {
        0x80..=0x9f => WINDOWS[usize::from(byte - 0x80)],
        other => char::from(other),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: usize = 1000;

    fn utf16(text: &str, mark: bool, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        let mark = mark.then_some(0xfeff_u16);
        mark.into_iter()
            .chain(text.encode_utf16())
            .flat_map(bytes)
            .collect()
    }

    #[test]
    fn a_byte_order_mark_is_not_part_of_the_text() {
        assert_eq!(decode("\u{feff}kind: x\r\n".as_bytes(), LIMIT), Ok("kind: x\r\n"));
        assert_eq!(decode(b"kind: x\n", LIMIT), Ok("kind: x\n"));
        assert_eq!(decode(b"", LIMIT), Ok(""));
    }

    #[test]
    fn every_other_encoding_is_named() {
        for mark in [true, false] {
            for bytes in [u16::to_le_bytes, u16::to_be_bytes] {
                let error = decode(&utf16("kind: Größe\r\n", mark, bytes), LIMIT).unwrap_err();
                let shown = error.to_string();
                assert!(
                    shown.contains("UTF-16") && shown.contains("save it as UTF-8"),
                    "{shown}"
                );
            }
        }
        let utf32: Vec<u8> = "\u{feff}kind"
            .chars()
            .flat_map(|c| u32::from(c).to_le_bytes())
            .collect();
        assert!(decode(&utf32, LIMIT).unwrap_err().to_string().contains("UTF-32"));
        let cases: [(&[u8], usize, &str); 5] = [
            (
                b"a\nb\nGr\xf6\xdfe\n",
                3,
                "in Latin-1, where byte 0xF6 is 'ö'; save",
            ),
            (b"\x93quoted\x94", 1, "in Latin-1, where byte 0x93 is '“'; save"),
            (b"a\n\xe2\x82", 2, "ends in the middle of a character"),
            (b"a\nb\0c", 2, "has a byte of zero"),
            (
                &[b'x'; LIMIT + 1],
                0,
                "is too long: at most 1000 bytes are allowed",
            ),
        ];
        for (bytes, line, said) in cases {
            let error = decode(bytes, LIMIT).unwrap_err();
            assert!(
                error.line() == line && error.to_string().contains(said),
                "{error}"
            );
        }
    }

    proptest! {
        #[test]
        fn utf8_is_accepted_and_nothing_panics(text in "\\PC{0,80}", bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let text = text.trim_start_matches(MARK);
            prop_assert_eq!(decode(text.as_bytes(), LIMIT), Ok(text));
            let marked = format!("{MARK}{text}");
            prop_assert_eq!(decode(marked.as_bytes(), LIMIT), Ok(text));
            if let Ok(text) = decode(&bytes, LIMIT) {
                prop_assert!(bytes.ends_with(text.as_bytes()) && !text.contains('\0'));
            }
        }
    }
}
