//! The error of this crate: what was tried, and the kernel's error.

use std::io;

/// Which call failed, and why.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action}")]
pub struct Error {
    /// What was tried, as a verb phrase: `mount proc on /proc`.
    pub action: String,
    /// The kernel's error.
    #[source]
    pub source: io::Error,
}

/// The result of a call.
pub type Result<T> = std::result::Result<T, Error>;

/// Adds what was tried to the kernel's error.
pub trait Context<T> {
    /// Names the action, as a verb phrase that follows "cannot".
    fn context(self, action: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<io::Error>> Context<T> for std::result::Result<T, E> {
    fn context(self, action: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error {
            action: action(),
            source: source.into(),
        })
    }
}
