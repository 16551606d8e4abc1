//! Faults of board and overlay files, each with its file and line.

use std::io;
use std::path::{Path, PathBuf};

use crate::nearest;

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A fault of a board or overlay file, or of the choice among them.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder could not be read.
    #[error("cannot read {path}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file says something that is wrong.
    #[error("{path}:{line}: {message}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong, and the way out.
        message: String,
    },
    /// A name that was asked for is not in the catalog.
    #[error("{what} {name:?} not found{hint}; known: {}", known.join(", "))]
    Unknown {
        /// "board" or "overlay".
        what: &'static str,
        /// The name that was asked for.
        name: String,
        /// The nearest known name, as a question.
        hint: String,
        /// All known names.
        known: Vec<String>,
    },
    /// A board that only exists to be inherited from was asked for.
    #[error("board {name:?} is abstract: it cannot be built; boards that inherit from it: {}", heirs.join(", "))]
    Abstract {
        /// The board.
        name: String,
        /// The boards that inherit from it.
        heirs: Vec<String>,
    },
    /// The services of board and overlays together cannot be run.
    #[error("board {board:?} with overlays {}: its services cannot be run", overlays.join(", "))]
    Services {
        /// The board.
        board: String,
        /// The overlays.
        overlays: Vec<String>,
        /// Everything that is wrong.
        #[source]
        source: service_definition::Faults,
    },
    /// A feature asks something of the board's firmware, and the board does not say how.
    #[error(
        "{what} is for boards whose firmware has a configuration file; board {board:?} has no `esp.firmwareConfig`"
    )]
    NoFirmwareConfig {
        /// What asks for it.
        what: String,
        /// The board.
        board: String,
    },
    /// An overlay was asked for on a board that it is not for.
    #[error("overlay {overlay:?} is not for board {board:?}; it is for: {}", boards.join(", "))]
    NotForBoard {
        /// The overlay.
        overlay: String,
        /// The board.
        board: String,
        /// The boards the overlay is for.
        boards: Vec<String>,
    },
}

impl Error {
    /// Makes a fault about a value, at the line of the file where the value stands.
    pub(crate) fn invalid(path: &Path, text: &str, value: &str, message: String) -> Error {
        Error::Invalid {
            path: path.to_owned(),
            line: line_of(text, value),
            message,
        }
    }

    /// Turns a fault of the YAML reader into ours, with the nearest known name.
    pub(crate) fn yaml(path: &Path, text: &str, error: &serde_yaml::Error) -> Error {
        if let Some(odd) = text::odd_blanks(text).next() {
            return Error::Invalid {
                path: path.to_owned(),
                line: odd.line,
                message: odd.message(),
            };
        }
        // What ends too soon is missed on the line behind the last, which nobody could look at.
        let last = text.lines().count().max(1);
        let line = error.location().map_or(1, |location| location.line().min(last));
        let said = error.to_string();
        // The reader appends its own position, which we give in front of the message.
        let message = said.rfind(" at line ").map_or(said.as_str(), |end| &said[..end]);
        Error::Invalid {
            path: path.to_owned(),
            line,
            message: with_hint(message),
        }
    }
}

/// Adds the nearest known name to serde's "unknown field `x`, expected one of `a`, `b`".
fn with_hint(message: &str) -> String {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    match quoted.split_first() {
        Some((wrong, known)) if message.contains("unknown ") => {
            format!("{message}{}", nearest::hint(wrong, known.iter().copied()))
        }
        _ => message.to_owned(),
    }
}

/// Finds the line on which a value stands as a word of its own.
fn line_of(text: &str, value: &str) -> usize {
    let is_part = |c: char| c.is_alphanumeric() || "-_./".contains(c);
    let found = text
        .lines()
        .position(|line| line.split(|c| !is_part(c)).any(|word| word == value));
    found
        .or_else(|| text.lines().position(|line| line.contains(value)))
        .map_or(1, |index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_by_whole_words() {
        let text = "name: rpi3\ninherit: rpi\noverlays: [base]\n";
        assert_eq!(line_of(text, "rpi"), 2);
        assert_eq!(line_of(text, "base"), 3);
        assert_eq!(line_of(text, "absent"), 1);
    }

    #[test]
    fn a_file_that_ends_too_soon_is_wrong_on_its_last_line() {
        let text = "kind: Board\nname: x\nnam";
        let error = serde_yaml::from_str::<serde_yaml::Value>(text).unwrap_err();
        let shown = Error::yaml(Path::new("x.yaml"), text, &error).to_string();
        assert!(shown.starts_with("x.yaml:3: "), "{shown}");
    }

    #[test]
    fn an_unknown_field_gets_the_nearest_name() {
        let message = "unknown field `overlay`, expected one of `overlays`, `features`";
        assert!(with_hint(message).ends_with("; did you mean \"overlays\"?"));
    }
}
