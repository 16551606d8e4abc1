//! Programs of workloads: one that serves, and those that a node must cope with.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::fault_injection;

/// Where it serves.
const PORT: u16 = 8080;
/// A folder on DATA, and a file in it that counts starts.
const STARTS: &str = "/data/starts";
/// A file on DATA that is as large as there is room.
const BALLAST: &str = "/data/ballast";
/// What is taken at a time until there is no more memory, in bytes.
const BITE: usize = 1 << 20;

/// Counts its starts on DATA, and answers with a word.
pub fn serve() -> Result<()> {
    let starts: u32 = fs::read_to_string(STARTS)
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(0);
    if Path::new("/data").is_dir() {
        fs::write(STARTS, format!("{}\n", starts + 1)).context("cannot write to /data")?;
    }
    stdio::note(format_args!("serves, start {}", starts + 1));
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).context("cannot listen")?;
    for connection in listener.incoming().flatten() {
        answer(connection).ok();
    }
    bail!("nobody connects any more")
}

fn answer(mut connection: TcpStream) -> Result<()> {
    connection.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut start = [0; 16];
    let _length = connection.read(&mut start)?;
    connection.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nok\n")?;
    Ok(())
}

/// Ends with success if it could be reached here, or where `CHECK` says.
pub fn check() -> Result<()> {
    ensure!(std::env::var_os("SICK").is_none(), "is sick, as its image says");
    let server = std::env::var("CHECK").unwrap_or_else(|_| format!("127.0.0.1:{PORT}"));
    TcpStream::connect(&server).with_context(|| format!("nobody serves at {server}"))?;
    Ok(())
}

/// Takes all memory that there is.
pub fn eat() -> Result<()> {
    let mut eaten = Vec::new();
    loop {
        eaten.push(vec![1_u8; BITE]);
        stdio::note(format_args!("has eaten {} MiB", eaten.len()));
    }
}

/// Fills DATA until nothing more fits, and stays.
pub fn fill() -> Result<()> {
    let mut file = fs::File::create(BALLAST).context("cannot create the ballast")?;
    let bite = vec![1; BITE];
    while file.write_all(&bite).is_ok() {}
    stdio::note("has filled DATA");
    fault_injection::wait()
}

/// Gives back what was filled, and stays.
pub fn free() -> Result<()> {
    fs::remove_file(BALLAST).context("there is no ballast")?;
    stdio::note("has freed DATA");
    fault_injection::wait()
}
