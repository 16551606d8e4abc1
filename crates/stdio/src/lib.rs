//! Prints results on standard output and notes on standard error; neither ever panics.
//!
//! A result that is lost, because the disk is full or the reader has gone, is an error with its own exit code ([`LOST`]):
//! the work may already be done, and must not look as if it had failed. A lost note is ignored. `println!` and `eprintln!`
//! panic instead, which would interrupt a flash in the middle.

use std::error::Error;
use std::fmt;
use std::io::{self, Write as _};
use std::process::ExitCode;

/// The exit code of a program whose result could not be written (`EX_IOERR` of sysexits.h).
pub const LOST: u8 = 74;

/// The error for a result that could not be written to standard output.
#[derive(Debug)]
pub struct Lost(io::Error);

impl Lost {
    /// Returns true if the reader closed the pipe, as `head` does when it has seen enough.
    pub fn is_closed(&self) -> bool {
        self.0.kind() == io::ErrorKind::BrokenPipe
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot write the result to standard output")
    }
}

impl Error for Lost {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

/// Prints a part of the result unchanged. Returns once the kernel has all of it.
pub fn print(text: impl fmt::Display) -> Result<(), Lost> {
    write(text.to_string().as_bytes())
}

/// Prints a line of the result. Returns once the kernel has all of it.
pub fn line(text: impl fmt::Display) -> Result<(), Lost> {
    write(format!("{text}\n").as_bytes())
}

/// Prints bytes of the result. Returns once the kernel has all of them.
pub fn write(bytes: &[u8]) -> Result<(), Lost> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(Lost)
}

/// Prints a note on standard error, on one line.
pub fn note(text: impl fmt::Display) {
    ask(format!("{text}\n"));
}

/// Prints a prompt on standard error, without ending the line.
pub fn ask(text: impl fmt::Display) {
    let mut out = io::stderr().lock();
    // Nobody is left to report to when even this fails.
    let _ = out
        .write_all(text.to_string().as_bytes())
        .and_then(|()| out.flush());
}

/// Returns the exit code for an error: [`LOST`] when only the result was lost, else the code for failure.
pub fn exit_code(error: &(dyn Error + 'static)) -> ExitCode {
    if lost(error).is_some() {
        ExitCode::from(LOST)
    } else {
        ExitCode::FAILURE
    }
}

/// Finds a lost result among an error and its causes.
pub fn lost<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Lost> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(lost) = error.downcast_ref() {
            return Some(lost);
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_result_is_found_among_causes() {
        #[derive(Debug)]
        struct Outer(Lost);
        impl fmt::Display for Outer {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("outer")
            }
        }
        impl Error for Outer {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                Some(&self.0)
            }
        }
        let outer = Outer(Lost(io::ErrorKind::BrokenPipe.into()));
        assert!(lost(&outer).is_some_and(Lost::is_closed));
        assert_eq!(exit_code(&outer), ExitCode::from(LOST));
        assert_eq!(exit_code(&io::Error::other("x")), ExitCode::FAILURE);
    }
}
