//! A tiny web server that misbehaves as it is told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// One request, as far as the tests care.
#[derive(Debug, Clone)]
pub struct Request {
    /// Counts from 0.
    pub number: usize,
    /// The path.
    pub path: String,
    /// What Range asks for; the end is exclusive.
    pub range: Option<Range<usize>>,
    /// What If-Range asks for.
    pub if_range: Option<String>,
    /// What Authorization says.
    pub authorization: Option<String>,
}

/// One answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Status line and headers, without the empty line.
    pub head: String,
    /// The body as it would be.
    pub body: Vec<u8>,
    /// The connection is closed after so many bytes of the body.
    pub cut: Option<usize>,
    /// What the server does in the middle of the body.
    pub pause: Duration,
}

impl Reply {
    /// Makes an answer without a body.
    pub fn empty(status: &str, headers: &str) -> Reply {
        Reply {
            head: format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n{headers}"),
            body: Vec::new(),
            cut: None,
            pause: Duration::ZERO,
        }
    }

    /// Makes the answer of a well-behaved server.
    pub fn good(request: &Request, content: &[u8], etag: Option<&str>) -> Reply {
        let stale = request.if_range.is_some() && request.if_range.as_deref() != etag;
        match request.range.clone().filter(|_| !stale) {
            Some(range) if range.start < content.len() => Reply::part(range, content, etag),
            Some(_) => Reply::empty(
                "416 Range Not Satisfiable",
                &format!("Content-Range: bytes */{}\r\n", content.len()),
            ),
            None => Reply::whole(content, etag),
        }
    }

    /// Sends a part.
    pub fn part(range: Range<usize>, content: &[u8], etag: Option<&str>) -> Reply {
        let range = range.start..range.end.min(content.len());
        let (last, total) = (range.end - 1, content.len());
        let head = format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\nContent-Range: bytes {}-{last}/{total}\r\n{}",
            range.len(),
            range.start,
            line(etag)
        );
        Reply {
            head,
            body: content[range].to_vec(),
            cut: None,
            pause: Duration::ZERO,
        }
    }

    /// Sends everything, as a server without ranges does.
    pub fn whole(content: &[u8], etag: Option<&str>) -> Reply {
        Reply {
            head: format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{}",
                content.len(),
                line(etag)
            ),
            body: content.to_vec(),
            cut: None,
            pause: Duration::ZERO,
        }
    }

    /// Closes the connection after so many bytes of the body.
    pub fn cut(self, after: usize) -> Reply {
        Reply {
            cut: Some(after),
            ..self
        }
    }
}

fn line(etag: Option<&str>) -> String {
    etag.map(|etag| format!("ETag: {etag}\r\n")).unwrap_or_default()
}

/// Runs until the test ends.
pub struct Server {
    address: SocketAddr,
    scheme: &'static str,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Answers each request by a function of it.
    pub fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Server {
        Server::with(None, answer)
    }

    /// The same over TLS.
    pub fn with(
        tls: Option<Arc<rustls::ServerConfig>>,
        answer: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (answer, seen, count) = (Arc::new(answer), requests.clone(), Arc::new(AtomicUsize::new(0)));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, seen, count, tls) = (answer.clone(), seen.clone(), count.clone(), tls.clone());
                thread::spawn(move || {
                    // A client that hangs up is part of the game.
                    let _hung_up = match tls {
                        None => converse(&stream, &stream, &*answer, &seen, &count),
                        Some(tls) => converse_over_tls(stream, tls, &*answer, &seen, &count),
                    };
                });
            }
        });
        Server {
            address,
            scheme,
            requests,
        }
    }

    /// Returns an address on this server.
    pub fn url(&self, path: &str) -> String {
        format!("{}://localhost:{}{path}", self.scheme, self.address.port())
    }

    /// Returns host and port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// Returns what was asked for so far.
    pub fn ranges(&self) -> Vec<Range<usize>> {
        self.requests()
            .into_iter()
            .filter_map(|request| request.range)
            .collect()
    }
}

fn converse_over_tls(
    stream: TcpStream,
    tls: Arc<rustls::ServerConfig>,
    answer: &dyn Fn(&Request) -> Reply,
    seen: &Mutex<Vec<Request>>,
    count: &AtomicUsize,
) -> std::io::Result<()> {
    let connection = rustls::ServerConnection::new(tls).unwrap();
    let stream = Mutex::new(rustls::StreamOwned::new(connection, stream));
    converse(Shared(&stream), Shared(&stream), answer, seen, count)
}

/// Reads and writes one TLS connection from two places.
struct Shared<'a>(&'a Mutex<rustls::StreamOwned<rustls::ServerConnection, TcpStream>>);

impl Read for Shared<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().read(out)
    }
}

impl Write for Shared<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        self.0.lock().unwrap().flush()
    }
}

/// Serves one connection until a side has enough of it.
fn converse(
    input: impl Read,
    mut output: impl Write,
    answer: &dyn Fn(&Request) -> Reply,
    seen: &Mutex<Vec<Request>>,
    count: &AtomicUsize,
) -> std::io::Result<()> {
    let mut input = BufReader::new(input);
    while let Some(request) = read_request(&mut input, count)? {
        seen.lock().unwrap().push(request.clone());
        let reply = answer(&request);
        write!(output, "{}\r\n", reply.head)?;
        let body = &reply.body[..reply.cut.unwrap_or(reply.body.len()).min(reply.body.len())];
        let (first, second) = body.split_at(body.len() / 2);
        output.write_all(first)?;
        output.flush()?;
        thread::sleep(reply.pause);
        output.write_all(second)?;
        output.flush()?;
        if reply.cut.is_some() {
            return Ok(());
        }
    }
    Ok(())
}

fn read_request(input: &mut impl BufRead, count: &AtomicUsize) -> std::io::Result<Option<Request>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let header = |name: &str| {
        lines.iter().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    };
    let range = header("range").and_then(|range| {
        let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
        Some(first.parse().ok()?..last.parse::<usize>().ok()? + 1)
    });
    Ok(Some(Request {
        number: count.fetch_add(1, Ordering::SeqCst),
        path: lines[0].split(' ').nth(1).unwrap_or_default().to_owned(),
        range,
        if_range: header("if-range"),
        authorization: header("authorization"),
    }))
}

/// Makes bytes that differ from place to place, and from version to version.
pub fn content(len: usize, version: u64) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15 ^ (version + 1);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    (0..len).map(|_| next()).collect()
}
