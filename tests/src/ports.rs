//! Ports on loopback: each is given to one machine or server of a run only.
//!
//! A port that was found free and let go could be given to another scenario before the emulator takes it. So a number is
//! drawn from a file that all scenarios of the run count on, below those that the kernel gives out by itself.

use std::fs::OpenOptions;
use std::io::{Read as _, Seek as _, Write as _};
use std::net::TcpListener;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::tools;

/// Linux gives out ports from 32768 on by itself.
const PORTS: Range<u16> = 20_000..32_000;

/// Draws a port that nobody uses, and that no other scenario of this tree will draw soon.
pub fn draw() -> Result<u16> {
    draw_from(&tools::target().join("ports"))
}

fn draw_from(counter: &Path) -> Result<u16> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(counter)
        .with_context(|| format!("cannot open {}", counter.display()))?;
    file.lock()?;
    let mut last = String::new();
    file.read_to_string(&mut last)?;
    // Where nothing was drawn yet, begins anywhere: another run at the same time begins elsewhere.
    let mut port = last.trim().parse().unwrap_or_else(|_| rand::random_range(PORTS));
    for _ in PORTS {
        port = after(port);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            file.rewind()?;
            file.set_len(0)?;
            write!(file, "{port}")?;
            return Ok(port);
        }
    }
    bail!(
        "no port of loopback from {} to {} is free",
        PORTS.start,
        PORTS.end
    )
}

fn after(port: u16) -> u16 {
    match port.checked_add(1) {
        Some(next) if PORTS.contains(&next) => next,
        _ => PORTS.start,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_drawn_twice_in_a_row() {
        let folder = tempfile::tempdir().unwrap();
        let counter = folder.path().join("ports");
        let drawn: Vec<u16> = (0..10).map(|_| draw_from(&counter).unwrap()).collect();
        let mut once = drawn.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), drawn.len());
        assert!(drawn.iter().all(|port| PORTS.contains(port)));
    }

    #[test]
    fn behind_the_last_port_comes_the_first() {
        assert_eq!(after(PORTS.start), PORTS.start + 1);
        assert_eq!(after(PORTS.end - 1), PORTS.start);
        assert_eq!(after(u16::MAX), PORTS.start);
    }
}
