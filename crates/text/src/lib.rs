//! Texts that people write: machine configs, client files, secrets, rollouts, boards.
//!
//! Editors and shells save them in many ways. [`decode`] takes UTF-8 with or without a byte order mark and names every
//! other encoding, with the line and what to do. [`odd_blanks`] finds characters that look like blanks and are none, for
//! when a parser has refused a text. With the feature `files`, [`load`] and [`read`] do the same to files and streams, and
//! never hold more than the limit.
//!
//! Line ends are left as they are: the parsers take LF and CRLF, and what is signed stays what was signed.

mod blanks;
mod decode;
#[cfg(feature = "files")]
mod files;

pub use blanks::{OddBlank, odd_blanks};
pub use decode::{TextError, decode};
#[cfg(feature = "files")]
pub use files::{LoadError, load, read};
