//! A web server for one file, with ranges, that can be told to fail.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// What the server does.
#[derive(Clone, Default)]
pub struct Web {
    file: Arc<Mutex<Vec<u8>>>,
    version: Arc<AtomicU32>,
    /// After so many requests the file is replaced by this one.
    next: Arc<Mutex<Option<Next>>>,
    /// Answers nothing but 503.
    pub down: Arc<AtomicBool>,
    /// Set when there is no support for ranges: the whole file is sent, whatever is requested.
    pub plain: Arc<AtomicBool>,
    /// Marks the same file differently from request to request, as servers behind a balancer do.
    pub balanced: Arc<AtomicBool>,
    pub requests: Arc<AtomicU32>,
}

/// A file, and after how many requests it is there.
type Next = (u32, Vec<u8>);

impl Web {
    /// Serves a file; returns its address.
    pub fn serve(file: &[u8]) -> (Web, String) {
        let web = Web::default();
        *web.file.lock().unwrap() = file.to_vec();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/release.bundle", listener.local_addr().unwrap());
        let serving = web.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let web = serving.clone();
                thread::spawn(move || {
                    // A client that hangs up is none of ours.
                    let _hung_up = web.converse(&stream);
                });
            }
        });
        (web, url)
    }

    /// Replaces the file after so many requests.
    pub fn replace_after(&self, requests: u32, file: &[u8]) {
        *self.next.lock().unwrap() = Some((requests, file.to_vec()));
    }

    fn converse(&self, stream: &TcpStream) -> std::io::Result<()> {
        let mut input = BufReader::new(stream);
        let mut output = stream;
        loop {
            let mut range = None;
            loop {
                let mut line = String::new();
                if input.read_line(&mut line)? == 0 {
                    return Ok(());
                }
                let line = line.trim_end().to_ascii_lowercase();
                if let Some(value) = line.strip_prefix("range: bytes=") {
                    let (first, last) = value.split_once('-').unwrap();
                    range = Some(first.parse::<usize>().unwrap()..last.parse::<usize>().unwrap() + 1);
                }
                if line.is_empty() {
                    break;
                }
            }
            let count = self.requests.fetch_add(1, Ordering::SeqCst) + 1;
            let mut next = self.next.lock().unwrap();
            if next.as_ref().is_some_and(|(after, _)| count > *after)
                && let Some((_, file)) = next.take()
            {
                *self.file.lock().unwrap() = file;
                self.version.fetch_add(1, Ordering::SeqCst);
            }
            drop(next);
            if self.down.load(Ordering::SeqCst) {
                output.write_all(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")?;
                continue;
            }
            let file = self.file.lock().unwrap().clone();
            let range = range.unwrap_or(0..file.len());
            let range = range.start..range.end.min(file.len());
            if self.plain.load(Ordering::SeqCst) {
                write!(
                    output,
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
                    file.len()
                )?;
                output.write_all(&file)?;
                continue;
            }
            let (mut version, total) = (self.version.load(Ordering::SeqCst), file.len());
            if self.balanced.load(Ordering::SeqCst) {
                version += 100 * (count % 3);
            }
            write!(
                output,
                "HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\nContent-Range: bytes {}-{}/{total}\r\nETag: \"{version}\"\r\n\r\n",
                range.len(),
                range.start,
                range.end - 1
            )?;
            output.write_all(&file[range])?;
        }
    }
}
