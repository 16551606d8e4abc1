//! Confirmation of commands that cannot be undone.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

/// Asks for confirmation of `plan`, unless `yes` was given on the command line.
///
/// # Errors
///
/// The answer is not yes, or standard input is not a terminal.
pub fn confirm(plan: &str, yes: bool) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        anyhow::bail!("{plan}: needs confirmation, and standard input is not a terminal; add --yes");
    }
    let mut shown = io::stderr().lock();
    write!(shown, "{plan}. Continue? [y/N] ")?;
    shown.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => anyhow::bail!("aborted; nothing was changed"),
    }
}
