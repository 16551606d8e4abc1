//! Characters that look like spaces and are not.

use std::fmt;

/// A character that looks like a space, where YAML and JSON need a real one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OddBlank {
    /// The line, from 1.
    pub line: usize,
    /// The character.
    pub character: char,
}

impl OddBlank {
    /// Returns what is wrong and how to fix it, without the line.
    pub fn message(&self) -> String {
        let (name, code) = (name(self.character), u32::from(self.character));
        format!(
            "{name} (U+{code:04X}) is in the place of a space and looks the same: replace it with a space"
        )
    }
}

impl fmt::Display for OddBlank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (line {})", self.message(), self.line)
    }
}

impl std::error::Error for OddBlank {}

/// Returns the lookalike spaces of a text, the first of each line: the likely reason why a parser refused it.
///
/// Only where spaces matter: before a line's first word and after its last, and after the characters `:`, `-`, `,`, `[`
/// and `{`. Elsewhere, as in a comment or a sentence, they are as good as any character.
pub fn odd_blanks(text: &str) -> impl Iterator<Item = OddBlank> {
    text.lines().enumerate().filter_map(|(index, line)| {
        let code = without_comment(line);
        let matters = |(at, found): &(usize, char)| {
            let before = code[..*at].trim_end_matches(is_blank);
            let behind = code[*at + found.len_utf8()..].trim_start_matches(is_blank);
            before.is_empty() || behind.is_empty() || before.ends_with([':', '-', ',', '[', '{'])
        };
        let found = code
            .char_indices()
            .filter(|(_, found)| is_odd(*found))
            .find(matters);
        found.map(|(_, character)| OddBlank {
            line: index + 1,
            character,
        })
    })
}

fn without_comment(line: &str) -> &str {
    if line.starts_with('#') {
        return "";
    }
    line.find(" #").map_or(line, |at| &line[..at])
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t') || is_odd(c)
}

fn is_odd(c: char) -> bool {
    // Zero width: Unicode does not count it as white space, and it is invisible too.
    let unseen = matches!(c, '\u{200b}' | '\u{2060}' | '\u{feff}');
    unseen || c.is_whitespace() && !matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn name(c: char) -> &'static str {
    match c {
        '\u{a0}' | '\u{202f}' | '\u{2007}' => "a no-break space",
        '\u{200b}' | '\u{2060}' | '\u{feff}' => "a zero-width space",
        _ => "an unusual space",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn odd_blanks_are_found_where_spaces_matter() {
        let text = "a: 1\n\u{a0} b: 2\nc:\u{202f}3\nd: [1,\u{3000}2]\ne: 5\u{200b}\n";
        let lines: Vec<usize> = odd_blanks(text).map(|odd| odd.line).collect();
        assert_eq!(lines, [2, 3, 4, 5]);
        let shown = odd_blanks(text).next().unwrap().to_string();
        assert!(
            shown.starts_with("a no-break space (U+00A0) is in the place of a space"),
            "{shown}"
        );
    }

    #[test]
    fn they_are_allowed_in_sentences_and_comments() {
        for text in [
            "a: 5\u{a0}MB of it\n",
            "# 5\u{a0}MB:\u{a0}\n",
            "a: b  # \u{a0}x\n",
            "a: b\r\n\tc",
        ] {
            assert_eq!(odd_blanks(text).next(), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_accepted(text in "([ -~]|[\u{a0}\u{200b}\u{3000}ä\t\r\n]){0,60}") {
            for odd in odd_blanks(&text) {
                prop_assert!(text.lines().nth(odd.line - 1).unwrap().contains(odd.character));
            }
        }
    }
}
