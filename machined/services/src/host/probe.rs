//! The ways to ask a service how it is. None of them takes longer than its caller lets it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use node::children::Children;
use node::last_words::LastWords;
use pki::Client;
use service_definition::{Run, Tls};
use state::chain;
use sys::process::{Exit, Stop};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;
use zeroize::Zeroizing;

use super::isolate::isolate;

/// The status line of an answer is at the start; what follows does not matter.
const STATUS_LINE: usize = 64;
/// How long what a program said last may take to arrive.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// Asks whether a Unix socket takes connections.
pub async fn unix_socket(path: &Path) -> Result<(), String> {
    match UnixStream::connect(path).await {
        Ok(_connection) => Ok(()),
        Err(error) => Err(format!("cannot connect to {}: {error}", path.display())),
    }
}

/// Asks whether an address takes connections.
pub async fn tcp(address: SocketAddr) -> Result<(), String> {
    match TcpStream::connect(address).await {
        Ok(_connection) => Ok(()),
        Err(error) => Err(format!("cannot connect to {address}: {error}")),
    }
}

/// Asks for a page, over TLS if files for that are given, and whether its status is 200 to 399.
pub async fn http(address: SocketAddr, path: &str, tls: Option<&Tls>) -> Result<(), String> {
    let scheme = if tls.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://{address}{path}");
    let asked = async {
        let connection = TcpStream::connect(address).await?;
        match tls {
            None => status(connection, address, path).await,
            Some(tls) => {
                let config = settings(tls).await?;
                let name = ServerName::from(address.ip());
                let connection = TlsConnector::from(config).connect(name, connection).await?;
                status(connection, address, path).await
            }
        }
    };
    match asked.await {
        Ok(Some(200..=399)) => Ok(()),
        Ok(Some(status)) => Err(format!("{url} answers with status {status}")),
        Ok(None) => Err(format!("{url} does not answer in HTTP")),
        Err(error) => Err(format!("cannot ask {url}: {error}")),
    }
}

/// Reads the settings of a client from their files, which may have been renewed.
async fn settings(tls: &Tls) -> std::io::Result<Arc<ClientConfig>> {
    let read = async |path: &Path| {
        let text = tokio::fs::read_to_string(path).await;
        text.map_err(|error| std::io::Error::new(error.kind(), format!("{}: {error}", path.display())))
    };
    let ca = read(&tls.ca).await?;
    let client = match &tls.identity {
        Some((certificate, key)) => {
            let key = Zeroizing::new(read(key).await?);
            Client::mutual(&ca, &read(certificate).await?, &key)
        }
        None => Client::trusting(&ca),
    };
    let client = client.map_err(|error| std::io::Error::other(chain(&error)))?;
    Ok(client.over_http1().config)
}

async fn status(
    mut connection: impl AsyncRead + AsyncWrite + Unpin,
    address: SocketAddr,
    path: &str,
) -> std::io::Result<Option<u16>> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: machined\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    connection.write_all(request.as_bytes()).await?;
    let mut answer = Vec::with_capacity(STATUS_LINE);
    while answer.len() < STATUS_LINE && !answer.contains(&b'\n') {
        if connection.read_buf(&mut answer).await? == 0 {
            break;
        }
    }
    Ok(status_of(&answer))
}

/// Reads `HTTP/1.1 200 OK`.
fn status_of(answer: &[u8]) -> Option<u16> {
    let line = String::from_utf8_lossy(answer);
    let mut words = line.split_ascii_whitespace();
    words.next().filter(|version| version.starts_with("HTTP/1."))?;
    words.next()?.parse().ok()
}

/// Asks a program, in the cgroup and environment of the service, as its user and with its rights. When the caller stops waiting,
/// the program is killed.
pub async fn exec(
    children: &Children,
    words: &[String],
    run: &Run,
    cgroup: Option<&Path>,
) -> Result<(), String> {
    let (program, arguments) = words.split_first().ok_or("there is no program to ask")?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .envs(&run.environment)
        .current_dir("/");
    command.stdin(Stdio::null());
    let cannot = |error: &dyn std::error::Error| format!("cannot run {program}: {error}");
    let mut words = LastWords::of(&mut command).map_err(|error| cannot(&error))?;
    isolate(&mut command, run, cgroup).map_err(|error| cannot(&error))?;
    let child = children.spawn(&mut command).map_err(|error| cannot(&error))?;
    // It holds the other end of what the program says.
    drop(command);
    let guard = KillOnDrop {
        children,
        pid: child.pid,
    };
    let ended = child.into_exit();
    tokio::pin!(ended);
    let exit = tokio::select! {
        exit = &mut ended => {
            // What it started may go on, and is not waited for.
            let _rest = timeout(LAST_WORDS, words.listen()).await;
            exit
        }
        () = words.listen() => ended.await,
    };
    drop(guard);
    match exit {
        Ok(Exit::Code(0)) => Ok(()),
        Ok(exit) => Err(words.line().unwrap_or_else(|| format!("{program} says: {exit}"))),
        Err(_) => Err(format!("{program} was lost")),
    }
}

struct KillOnDrop<'a> {
    children: &'a Children,
    pid: u32,
}

impl Drop for KillOnDrop<'_> {
    fn drop(&mut self) {
        // A process that has ended is not hit, and an error leaves nothing to be done.
        let _ended = self.children.stop(self.pid, Stop::Kill);
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use pki::{Authority, NodeClock, Serving, Validity};
    use service_definition::{Service, check};
    use tokio::net::{TcpListener, UnixListener};
    use tokio_rustls::TlsAcceptor;

    use super::*;

    #[test]
    fn only_http_has_a_status() {
        let table: &[(&[u8], _)] = &[
            (b"HTTP/1.1 200 OK\r\n", Some(200)),
            (b"HTTP/1.0 503 \r\n", Some(503)),
            (b"HTTP/1.1", None),
            (b"HTTP/1.1 x", None),
            (b"SSH-2.0-x 200", None),
            (b"", None),
            (b"\xff\xfe", None),
        ];
        for (answer, status) in table {
            assert_eq!(status_of(answer), *status, "{}", String::from_utf8_lossy(answer));
        }
    }

    async fn answering(answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut request = [0; 512];
            let len = connection.read(&mut request).await.unwrap();
            assert!(request[..len].starts_with(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:"));
            connection.write_all(answer.as_bytes()).await.unwrap();
        });
        address
    }

    #[tokio::test]
    async fn a_page_is_healthy_by_its_status() {
        let address = answering("HTTP/1.1 200 OK\r\n\r\nok").await;
        assert_eq!(http(address, "/healthz", None).await, Ok(()));
        let address = answering("HTTP/1.1 500 no\r\n\r\n").await;
        let error = http(address, "/healthz", None).await.unwrap_err();
        assert_eq!(error, format!("http://{address}/healthz answers with status 500"));
        let address = answering("hello").await;
        let error = http(address, "/healthz", None).await.unwrap_err();
        assert!(error.ends_with("does not answer in HTTP"), "{error}");
    }

    /// Answers one request over TLS.
    async fn answering_over_tls(serving: Serving) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (connection, _) = listener.accept().await.unwrap();
            let acceptor = TlsAcceptor::from(serving.config);
            let Ok(mut connection) = acceptor.accept(connection).await else {
                return;
            };
            let mut request = [0; 512];
            let len = connection.read(&mut request).await.unwrap();
            assert!(request[..len].starts_with(b"GET /readyz HTTP/1.1\r\n"));
            connection.write_all(b"HTTP/1.1 200 OK\r\n\r\nok").await.unwrap();
            connection.shutdown().await.unwrap();
        });
        address
    }

    #[tokio::test]
    async fn a_page_over_tls_is_asked_for_with_the_files_of_the_check() {
        let now = SystemTime::now();
        let (own, other) = (
            Authority::generate("own", now).unwrap(),
            Authority::generate("other", now).unwrap(),
        );
        let validity = Validity::starting(now, Duration::from_secs(3600));
        let server = own
            .issue_server("api", &["127.0.0.1".to_owned()], validity)
            .unwrap();
        let elsewhere = own
            .issue_server("api", &["127.0.0.2".to_owned()], validity)
            .unwrap();
        let client = own.issue_client("machined", "checks", validity).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let ca = file("ca.crt", own.certificate_pem());
        let anybody = Tls {
            ca: ca.clone(),
            identity: None,
        };
        let known = Tls {
            ca,
            identity: Some((
                file("client.crt", &client.pem),
                file("client.key", &client.key.to_pem()),
            )),
        };
        let stranger = Tls {
            ca: file("other.crt", other.certificate_pem()),
            identity: None,
        };
        let lost = Tls {
            ca: folder.path().join("none.crt"),
            identity: None,
        };
        let mutual = || Serving::mutual(own.certificate_pem(), &server, Arc::new(NodeClock::new())).unwrap();
        let open = |issued| Serving::maintenance(issued).unwrap();
        let table = [
            (mutual(), &known, None),
            (mutual(), &anybody, Some("cannot ask https://127.0.0.1:")),
            (open(&server), &anybody, None),
            (open(&elsewhere), &anybody, Some("/readyz: ")),
            (open(&server), &stranger, Some("/readyz: ")),
            (open(&server), &lost, Some("none.crt: ")),
        ];
        for (index, (serving, tls, expected)) in table.into_iter().enumerate() {
            let address = answering_over_tls(serving).await;
            let found = http(address, "/readyz", Some(tls)).await;
            match (expected, found) {
                (None, found) => assert_eq!(found, Ok(()), "{index}"),
                (Some(text), Err(error)) => assert!(error.contains(text), "{index}: {error}"),
                (Some(_), Ok(())) => panic!("{index} counts as healthy"),
            }
        }
    }

    #[tokio::test]
    async fn a_listener_is_healthy() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(tcp(address).await, Ok(()));
        drop(listener);
        assert!(
            tcp(address)
                .await
                .unwrap_err()
                .starts_with("cannot connect to 127.0.0.1:")
        );

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        assert!(unix_socket(&path).await.is_err());
        let listener = UnixListener::bind(&path).unwrap();
        assert_eq!(unix_socket(&path).await, Ok(()));
        drop(listener);
        assert!(
            unix_socket(&path).await.is_err(),
            "the file is left, and nobody listens"
        );
    }

    #[tokio::test]
    async fn a_program_is_asked_by_its_exit() {
        let children = Children::new();
        let reaper = tokio::spawn(children.clone().reap_forever());
        let ask = async |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            exec(&children, &words, &run(), None).await
        };
        assert_eq!(ask(&["/bin/true"]).await, Ok(()));
        assert_eq!(
            ask(&["/bin/false"]).await.unwrap_err(),
            "/bin/false says: exit code 1"
        );
        let complains = [
            "/bin/sh",
            "-c",
            "echo trying; echo no route to the database >&2; exit 3",
        ];
        assert_eq!(ask(&complains).await.unwrap_err(), "no route to the database");
        let leaves = ["/bin/sh", "-c", "sleep 2 & echo gone; exit 1"];
        let began = std::time::Instant::now();
        assert_eq!(ask(&leaves).await.unwrap_err(), "gone");
        assert!(
            began.elapsed() < Duration::from_secs(2),
            "what it started is not waited for"
        );
        assert_eq!(ask(&["/bin/sh", "-c", "yes | head -c 1000000"]).await, Ok(()));
        let missing = ask(&["/no/such"]).await.unwrap_err();
        assert!(missing.starts_with("cannot run /no/such: "), "{missing}");
        reaper.abort();
    }

    #[tokio::test]
    async fn a_program_that_hangs_is_killed() {
        let children = Children::new();
        let reaper = tokio::spawn(children.clone().reap_forever());
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("left");
        // `tail` follows a file of this name alone, so that it can be distinguished from others.
        std::fs::write(&fifo, "").unwrap();
        let words = ["/usr/bin/tail", "-f", &fifo.display().to_string()].map(str::to_owned);
        let waited = timeout(Duration::from_millis(200), exec(&children, &words, &run(), None)).await;
        assert!(waited.is_err(), "{waited:?}");
        let follows = || {
            let processes = std::fs::read_dir("/proc").unwrap().flatten();
            processes
                .filter_map(|process| std::fs::read(process.path().join("cmdline")).ok())
                .any(|line| String::from_utf8_lossy(&line).contains(&*fifo.to_string_lossy()))
        };
        let gone = async {
            while follows() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(10), gone)
            .await
            .expect("tail is killed");
        reaper.abort();
    }

    fn run() -> Run {
        let all = check(vec![Service::new("x", ["/x"])]).unwrap();
        all.get("x").unwrap().run.clone()
    }
}
