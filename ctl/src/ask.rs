//! Asks before something is done that cannot be taken back.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

/// Shows what will be done and asks for a yes; `yes` is that it was given on the command line.
pub fn confirm(plan: &str, yes: bool) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        anyhow::bail!("{plan}: nobody is there to confirm it; add --yes");
    }
    let mut shown = io::stderr().lock();
    write!(shown, "{plan}. Go on? [y/N] ")?;
    shown.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => anyhow::bail!("nothing was done"),
    }
}
