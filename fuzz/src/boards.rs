//! Board and overlay files.

use std::path::Path;

use board::document::{parse_board, parse_overlay};
use board::inherit::{inherit, join_features};
use board::{Error, Overlay, RawBoard};

/// A board that is accepted can be written and read back unchanged, and inherits from itself without a change.
pub fn board(data: &[u8]) {
    let Some(board) = parsed(data, parse_board) else {
        return;
    };
    let text = yaml::to_string(&board).expect("what was read can be written");
    let again: RawBoard =
        parse_board(&text, Path::new("again.yaml")).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(again, board);
    assert!(
        !board.name.as_str().contains(['/', '.']),
        "a name has no path separators"
    );
    let twice = inherit(board.clone(), board.clone());
    // Equal entries are kept once, so a list may have become shorter; after that nothing changes any more.
    assert_eq!(inherit(twice.clone(), twice.clone()), twice);
}

/// An overlay that is accepted can be written and read back unchanged, and its services are checked without a panic.
pub fn overlay(data: &[u8]) {
    let Some(overlay) = parsed(data, parse_overlay) else {
        return;
    };
    let text = yaml::to_string(&overlay).expect("what was read can be written");
    let again: Overlay =
        parse_overlay(&text, Path::new("again.yaml")).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(again, overlay);
    assert!(
        !overlay.name.as_str().contains(['/', '.']),
        "a name has no path separators"
    );
    let joined = join_features(overlay.features.clone(), overlay.features.clone());
    assert_eq!(join_features(joined.clone(), joined.clone()), joined);
    crate::services::check(overlay.features.services);
}

/// Parses a document; a fault refers to an existing line.
fn parsed<T>(data: &[u8], parse: impl Fn(&str, &Path) -> board::Result<T>) -> Option<T> {
    let text = std::str::from_utf8(data).ok()?;
    match parse(text, Path::new("file.yaml")) {
        Ok(value) => Some(value),
        Err(Error::Invalid { line, message, .. }) => {
            let lines = crate::configs::lines(text);
            assert!((1..=lines).contains(&line), "line {line} of {lines}: {message}");
            None
        }
        Err(error) => panic!("a document has only faults with a line: {error}"),
    }
}
