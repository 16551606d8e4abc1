//! A web server for bundles, such as anybody has: files, ranges, nothing else. It counts, and can be made to fail.

use std::fs::File;
use std::io::{BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::ports;

/// How an emulated machine calls the one that it runs on.
const HOST: &str = "10.0.2.2";
/// Bytes that are sent at a time.
const PIECE: usize = 16 * 1024;
/// How long a client may be silent.
const SILENCE: Duration = Duration::from_secs(60);

/// Serves the files of a folder on loopback until the tests end.
#[derive(Debug)]
pub struct Server {
    port: u16,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    sent: AtomicU64,
    /// After so many bytes of a body the connection is cut; 0 for never.
    cut_after: AtomicU64,
    /// Bytes a second; 0 for as fast as can be.
    rate: AtomicU64,
}

impl Server {
    /// Starts to serve a folder.
    pub fn start(folder: &Path) -> Result<Server> {
        let port = ports::draw()?;
        let listener = TcpListener::bind(("127.0.0.1", port)).context("cannot listen on loopback")?;
        let counts = Arc::new(Counts::default());
        let (shared, folder) = (counts.clone(), folder.to_owned());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (counts, folder) = (shared.clone(), folder.clone());
                // A client that goes away in the middle is what these tests are about.
                std::thread::spawn(move || serve(client, &folder, &counts).ok());
            }
        });
        Ok(Server { port, counts })
    }

    /// Returns the address of a file for an emulated machine.
    pub fn url(&self, file: &Path) -> String {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        format!("http://{HOST}:{}/{name}", self.port)
    }

    /// Returns the bytes of bodies sent since this was asked last.
    pub fn take_sent(&self) -> u64 {
        self.counts.sent.swap(0, Ordering::SeqCst)
    }

    /// Makes it cut every answer after so many bytes.
    pub fn cut_after(&self, bytes: u64) {
        self.counts.cut_after.store(bytes, Ordering::SeqCst);
    }

    /// Makes it send no more than so many bytes a second.
    pub fn slow_down(&self, rate: u64) {
        self.counts.rate.store(rate, Ordering::SeqCst);
    }
}

/// Answers requests until the client has no more.
fn serve(client: TcpStream, folder: &Path, counts: &Counts) -> Result<()> {
    client.set_read_timeout(Some(SILENCE))?;
    client.set_write_timeout(Some(SILENCE))?;
    let mut lines = BufReader::new(client.try_clone()?);
    while let Some(request) = read_request(&mut lines)? {
        answer(client.try_clone()?, folder, &request, counts)?;
    }
    Ok(())
}

struct Request {
    path: String,
    range: Option<(u64, Option<u64>)>,
}

fn read_request(lines: &mut impl std::io::BufRead) -> Result<Option<Request>> {
    let mut line = String::new();
    if lines.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let path = line.split(' ').nth(1).unwrap_or("/").trim_start_matches('/');
    let mut request = Request {
        path: path.to_owned(),
        range: None,
    };
    loop {
        line.clear();
        if lines.read_line(&mut line)? == 0 || line.trim().is_empty() {
            return Ok(Some(request));
        }
        let lower = line.to_ascii_lowercase();
        if let Some(range) = lower.trim().strip_prefix("range: bytes=") {
            let (from, to) = range.split_once('-').unwrap_or((range, ""));
            request.range = from.parse().ok().map(|from| (from, to.parse().ok()));
        }
    }
}

fn answer(mut client: TcpStream, folder: &Path, request: &Request, counts: &Counts) -> Result<()> {
    let plain = Path::new(&request.path)
        .file_name()
        .is_some_and(|name| name == request.path.as_str());
    let path: PathBuf = folder.join(&request.path);
    let Some(mut file) = plain.then(|| File::open(&path).ok()).flatten() else {
        let head = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
        return Ok(client.write_all(head.as_bytes())?);
    };
    let length = file.metadata()?.len();
    let (status, piece) = match request.range {
        Some((from, to)) if from < length => {
            let end = to.map_or(length, |to| length.min(to + 1));
            (206, from..end)
        }
        _ => (200, 0..length),
    };
    let range = format!(
        "Content-Range: bytes {}-{}/{length}\r\n",
        piece.start,
        piece.end - 1
    );
    let head = format!(
        "HTTP/1.1 {status} OK\r\nContent-Length: {}\r\nAccept-Ranges: bytes\r\nETag: \"{length}\"\r\n{}\r\n",
        piece.end - piece.start,
        if status == 206 { range.as_str() } else { "" },
    );
    client.write_all(head.as_bytes())?;
    send(&mut client, &mut file, piece, counts)
}

fn send(client: &mut TcpStream, file: &mut File, piece: Range<u64>, counts: &Counts) -> Result<()> {
    file.seek(SeekFrom::Start(piece.start))?;
    let mut buffer = vec![0; PIECE];
    let (mut at, mut sent) = (piece.start, 0);
    while at < piece.end {
        let cut = counts.cut_after.load(Ordering::SeqCst);
        anyhow::ensure!(cut == 0 || sent < cut, "cut on purpose");
        let want = PIECE.min((piece.end - at) as usize);
        file.read_exact(&mut buffer[..want])?;
        client.write_all(&buffer[..want])?;
        (at, sent) = (at + want as u64, sent + want as u64);
        counts.sent.fetch_add(want as u64, Ordering::SeqCst);
        let rate = counts.rate.load(Ordering::SeqCst);
        if rate > 0 {
            std::thread::sleep(Duration::from_secs_f64(want as f64 / rate as f64));
        }
    }
    Ok(())
}
