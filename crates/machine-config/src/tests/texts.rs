//! Text as editors save it.

use super::{GOLDEN, SMALLEST};
use crate::{decode, parse};

fn faults(text: &str) -> Vec<String> {
    parse(text).map_or_else(
        |faults| faults.list().iter().map(ToString::to_string).collect(),
        |_| Vec::new(),
    )
}

#[test]
fn a_byte_order_mark_and_other_line_ends_change_nothing() {
    let expected = parse(GOLDEN).unwrap();
    let text = format!("\u{feff}{}", GOLDEN.replace('\n', "\r\n"));
    assert_eq!(parse(&text), Ok(expected.clone()));
    assert_eq!(parse(decode(text.as_bytes()).unwrap()), Ok(expected));
}

#[test]
fn a_tab_separates_like_a_space() {
    let tabbed = GOLDEN
        .lines()
        .map(|line| match line.split_once(": ") {
            // Lines of a block of text are indented further, and its own.
            Some((key, value)) if !key.contains(['"', '#']) && !key.starts_with("        ") => {
                format!("{key}:\t{value}\n")
            }
            _ => format!("{line}\n"),
        })
        .collect::<String>();
    assert!(tabbed.matches(":\t").count() > 20);
    assert_eq!(parse(&tabbed), Ok(parse(GOLDEN).unwrap()));
    let quoted = format!("{SMALLEST}  sysctls: {{kernel.core_pattern: \"a:\tb\"}}\n");
    let config = parse(&quoted).unwrap();
    assert!(
        config.machine.sysctls.values().any(|value| value.0 == "a:\tb"),
        "the tab is the value's own"
    );
}

#[test]
fn a_tab_cannot_indent_nor_begin_a_map_or_list() {
    for lines in ["\thostname: a", "  time:\tservers: [a]", "  modules:\t- loop"] {
        let found = faults(&format!("{SMALLEST}{lines}\n"));
        assert!(
            found.len() == 1 && found[0].starts_with("not YAML: "),
            "{found:?}"
        );
    }
}

#[test]
fn a_lookalike_space_is_reported_with_its_line() {
    for (lines, line) in [
        ("  hostname:\u{a0}a", 8),
        ("  modules: []\n\u{a0} hostname: a", 9),
        ("  hostname: a\u{200b}", 8),
    ] {
        let found = faults(&format!("{SMALLEST}{lines}\n"));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("is in the place of a space"), "{found:?}");
        assert!(found[0].ends_with(&format!("(line {line})")), "{found:?}");
    }
    let remarked = format!("{SMALLEST}  # about\u{a0}5\u{a0}MB\n");
    assert_eq!(faults(&remarked), [""; 0]);
}

#[test]
fn another_encoding_is_one_fault_with_its_line() {
    let latin = [SMALLEST.as_bytes(), b"  # gr\xfc\xdfe\n"].concat();
    let faults = decode(&latin).unwrap_err();
    assert!(
        faults
            .in_file("a.yaml")
            .starts_with("a.yaml:8: it is not in UTF-8"),
        "{faults}"
    );
    let wide: Vec<u8> = SMALLEST.encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(decode(&wide).unwrap_err().to_string().contains("UTF-16"));
}
