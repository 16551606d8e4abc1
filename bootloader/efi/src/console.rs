//! One-line messages on the firmware's console.
//!
//! Each message is one line that starts with `bedplate: `; tests and users rely on the wording.

/// Writes one line.
macro_rules! say {
    ($($message:tt)+) => {{
        uefi::print!("bedplate: ");
        uefi::println!($($message)+);
    }};
}

pub(crate) use say;

use core::error::Error;
use core::fmt;

/// Shows an error with all its sources, outermost first.
pub struct Chain<'a>(pub &'a dyn Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut next = self.0.source();
        while let Some(source) = next {
            write!(f, ": {source}")?;
            next = source.source();
        }
        Ok(())
    }
}
