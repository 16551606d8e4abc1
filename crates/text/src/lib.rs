//! Text that people write: machine configs, client files, secrets, rollouts, boards.
//!
//! Editors and shells save it in many ways. [`decode`] accepts UTF-8 with or without a byte order mark and names every
//! other encoding, with the line and what to do. [`odd_blanks`] finds characters that look like spaces and are not, for
//! when a parser has refused a text. With the feature `files`, [`load`] and [`read`] do the same for files and streams, and
//! never hold more than the limit.
//!
//! Line ends are kept: the parsers accept LF and CRLF, and signed text stays as it was signed.

mod blanks;
mod decode;
#[cfg(feature = "files")]
mod files;

pub use blanks::{OddBlank, odd_blanks};
pub use decode::{TextError, decode};
#[cfg(feature = "files")]
pub use files::{LoadError, load, read};
