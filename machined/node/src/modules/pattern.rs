//! The patterns of `modules.alias`: `*`, `?` and `[…]`, as in file names.

/// Returns true if a whole text fits a pattern.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut from) = (0, 0);
    // Where to go on after a mismatch: behind the last star, one byte further in the text.
    let mut again: Option<(usize, usize)> = None;
    loop {
        let next = match pattern.get(at) {
            Some(b'*') => {
                again = Some((at + 1, from));
                at += 1;
                continue;
            }
            None if from == text.len() => return true,
            None => None,
            Some(_) => text.get(from).and_then(|byte| one(&pattern[at..], *byte)),
        };
        match (next, again) {
            (Some(len), _) => {
                at += len;
                from += 1;
            }
            (None, Some((star, start))) if start < text.len() => {
                (at, from) = (star, start + 1);
                again = Some((star, start + 1));
            }
            (None, _) => return false,
        }
    }
}

/// Returns the length of the pattern's first element, if the byte fits it.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern.first()? {
        b'?' => Some(1),
        b'[' => {
            let end = pattern.iter().position(|mark| *mark == b']')?;
            set_has(&pattern[1..end], byte).then_some(end + 1)
        }
        literal => (*literal == byte).then_some(1),
    }
}

fn set_has(set: &[u8], byte: u8) -> bool {
    let mut rest = set;
    while let Some((first, tail)) = rest.split_first() {
        if let [b'-', last, after @ ..] = tail {
            if (*first..=*last).contains(&byte) {
                return true;
            }
            rest = after;
        } else {
            if *first == byte {
                return true;
            }
            rest = tail;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fits_as_file_names_do() {
        let cases = [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abb", false),
            ("a*b*c", "axbxbc", true),
            (
                "of:N*T*Cbrcm,bcm2835-sdhostC*",
                "of:NmmcT(null)Cbrcm,bcm2835-sdhost",
                false,
            ),
            (
                "of:N*T*Cbrcm,bcm2835-sdhost",
                "of:NmmcT(null)Cbrcm,bcm2835-sdhost",
                true,
            ),
            ("usb:v0424p[7-8E]800d?", "usb:v0424p7800d1", true),
            ("usb:v0424p[7-8E]800d?", "usb:v0424pE800d1", true),
            ("usb:v0424p[7-8E]800d?", "usb:v0424p9800d1", false),
            ("[", "[", false),
            ("", "x", false),
        ];
        for (pattern, text, fits) in cases {
            assert_eq!(matches(pattern, text), fits, "{pattern} {text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(pattern in "[a-c*?\\[\\]-]{0,20}", text in "[a-c]{0,20}") {
            let _ = matches(&pattern, &text);
        }

        #[test]
        fn a_text_fits_itself_and_a_star(text in "[a-z:]{0,20}", cut in 0usize..20) {
            let cut = cut.min(text.len());
            let (head, tail) = (&text[..cut], &text[cut..]);
            let starred = format!("{head}*{tail}");
            prop_assert!(matches(&text, &text));
            prop_assert!(matches(&starred, &text));
        }
    }
}
