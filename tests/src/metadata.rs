//! A metadata service, of which the emulator starts one for each connection, with the connection as its input and output.

use std::fs;
use std::io::{BufRead as _, Write as _, stdin, stdout};
use std::path::{Component, Path};

use anyhow::{Context as _, Result};

/// The name of the command that [`answer`]s.
pub const COMMAND: &str = "answer-metadata";

/// Returns the command line of a service of the files below a folder. It is given to QEMU among other options, so that it must not
/// have a comma.
pub fn command(folder: &Path) -> Result<String> {
    let own = std::env::current_exe()?;
    let command = format!("{} {COMMAND} {}", own.display(), folder.display());
    anyhow::ensure!(
        !command.contains(','),
        "QEMU cannot start {command}: there is a comma in it"
    );
    Ok(command)
}

/// Answers one request with a file below a folder.
pub fn answer(folder: &Path) -> Result<()> {
    let mut lines = stdin().lock().lines();
    let first = lines.next().context("there is no request")??;
    for line in lines {
        if line?.trim().is_empty() {
            break;
        }
    }
    let mut words = first.split_ascii_whitespace();
    let (method, path) = (words.next(), Path::new(words.next().unwrap_or_default()));
    let inside = path
        .strip_prefix("/")
        .ok()
        .filter(|path| path.components().all(|part| matches!(part, Component::Normal(_))));
    let content = inside
        .filter(|_| method == Some("GET"))
        .and_then(|path| fs::read(folder.join(path)).ok());
    let (status, body) = content.map_or(("404 Not Found", Vec::new()), |content| ("200 OK", content));
    let mut out = stdout().lock();
    write!(
        out,
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )?;
    out.write_all(&body)?;
    out.flush().context("nobody takes the answer")
}
