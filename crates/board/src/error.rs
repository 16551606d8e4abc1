//! Faults of board and overlay files, each with its file and line.

use std::io;
use std::path::{Path, PathBuf};

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
    #[error("{what} {name:?} not found{}; known: {}", yaml::did_you_mean(name, known.iter().map(String::as_str)), known.join(", "))]
    Unknown {
        /// "board" or "overlay".
        what: &'static str,
        /// The name that was asked for.
        name: String,
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
    /// Makes a fault about a value, at the line of the file that has the value.
    pub(crate) fn invalid(path: &Path, text: &str, value: &str, message: String) -> Error {
        Error::Invalid {
            path: path.to_owned(),
            line: line_of(text, value),
            message,
        }
    }

    /// Adds the file to a fault.
    pub(crate) fn yaml(path: &Path, fault: &yaml::Fault) -> Error {
        Error::Invalid {
            path: path.to_owned(),
            line: fault.line.max(1),
            message: fault.without_line(),
        }
    }
}

/// Finds the line that has a value as a whole word.
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
}
