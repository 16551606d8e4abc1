//! Why a controller could not do its work.

use std::error::Error;
use std::fmt;

/// Any error of a controller, with its chain of causes.
///
/// It is no `Error` itself, so that `?` turns every error into one.
pub struct ControllerError(Box<dyn Error + Send + Sync>);

impl ControllerError {
    /// Makes an error from a sentence.
    pub fn msg(sentence: impl Into<String>) -> Self {
        ControllerError(sentence.into().into())
    }

    /// Returns the error and its causes in one line.
    pub fn chain(&self) -> String {
        chain(self.0.as_ref())
    }
}

/// Joins an error and its causes into one line.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    line
}

impl<E: Error + Send + Sync + 'static> From<E> for ControllerError {
    fn from(error: E) -> Self {
        ControllerError(Box::new(error))
    }
}

impl fmt::Debug for ControllerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.chain())
    }
}

impl fmt::Display for ControllerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.chain())
    }
}
