//! `bedplate flash`: the program `bedplate-flash` under another name.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Args;

/// Name of the flash tool in its messages.
const NAME: &str = "bedplate flash";

/// Writes a bundle to a disk.
///
/// The flash tool reads its own command line: flash comes first, before any option of this program.
#[derive(Debug, Args)]
pub struct Flash {
    /// Arguments of the flash tool.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    arguments: Vec<OsString>,
}

impl Flash {
    /// Runs the flash tool. It does not see options of this program before the word `flash`.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let all = std::iter::once(OsString::from(NAME)).chain(self.arguments);
        Ok(flash_tool::main_from(NAME, all))
    }
}

/// Runs the flash tool when `flash` is the first word.
pub fn run_if_first(arguments: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    let mut arguments = arguments.into_iter().skip(1);
    if arguments.next()? != "flash" {
        return None;
    }
    let all = std::iter::once(OsString::from(NAME)).chain(arguments);
    Some(flash_tool::main_from(NAME, all))
}
