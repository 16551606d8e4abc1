//! Asks API servers how they are.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pki::Client;
use state::kinds::ServerHealth;
use state::tasks;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_util::task::AbortOnDropHandle;

use crate::health::Outcome;
use crate::pool::Pool;
use crate::relay::connect;
use crate::servers::Target;

/// The name that every API server of every cluster proves.
const NAME: &str = "kubernetes.default.svc";
const REQUEST: &[u8] =
    b"GET /readyz HTTP/1.1\r\nHost: kubernetes.default.svc\r\nUser-Agent: bedplate\r\nAccept: */*\r\n\r\n";
/// How long a server may take for an answer, a new connection included.
const LIMIT: Duration = Duration::from_secs(3);
/// How often a server is asked that connections go to, or that is not ready.
const OFTEN: Duration = Duration::from_secs(3);
/// How often one is asked that is ready and stands by.
const SELDOM: Duration = Duration::from_secs(15);
/// The check that fails, alone, in a server that shuts down and serves until then.
const SHUTDOWN: &str = "shutdown";
/// The longest answer. What is not ready is listed in it, some twenty bytes for each check.
const LONGEST: usize = 16 << 10;

/// How servers are asked: whom to trust, and who asks. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Identity(Arc<Mutex<Option<Client>>>);

impl Identity {
    /// Takes another one, for connections from now on.
    pub(crate) fn set(&self, client: Client) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(client);
    }

    fn get(&self) -> Option<Client> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Asks a server again and again, until this is dropped or the server is none of the pool any more.
pub(crate) fn keep_asking(pool: Pool, target: Target, identity: Identity) -> AbortOnDropHandle<()> {
    tasks::keep(format!("asking the API server {target}"), move || {
        let (pool, target, identity) = (pool.clone(), target.clone(), identity.clone());
        async move {
            let mut connection = None;
            loop {
                let outcome = ask(&target, &identity, &mut connection).await;
                pool.report(&target, outcome);
                let pause = match pool.look(&target) {
                    Some((ServerHealth::Ready, false)) => SELDOM,
                    _ => OFTEN,
                };
                tokio::select! {
                    // Cancel safe: dropping a sleep has no effect.
                    () = tokio::time::sleep(pause) => {}
                    // Cancel safe.
                    () = pool.used(&target) => {}
                }
            }
            #[expect(unreachable_code, reason = "it tells the type of an error that never comes")]
            Ok::<(), io::Error>(())
        }
    })
}

/// Asks once, over the connection of the last time where it is still good.
async fn ask(target: &Target, identity: &Identity, kept: &mut Option<TlsStream<TcpStream>>) -> Outcome {
    let Some(client) = identity.get() else {
        return Outcome::Failed("the node does not know yet whom to trust".to_owned());
    };
    let asked = async {
        if let Some(mut connection) = kept.take()
            && let Ok(answer) = exchange(&mut connection).await
        {
            return Ok((answer, connection));
        }
        let mut connection = tls(target, client).await?;
        Ok((exchange(&mut connection).await?, connection))
    };
    let answer: io::Result<_> = match tokio::time::timeout(LIMIT, asked).await {
        Ok(answer) => answer,
        Err(_) => return Outcome::Silent,
    };
    match answer {
        Ok((Answer { status: 200, .. }, connection)) => {
            *kept = Some(connection);
            Outcome::Ready
        }
        // It serves, and does not know us: before the node has a certificate, or with one that is too old.
        Ok((
            Answer {
                status: 401 | 403, ..
            },
            _,
        )) => Outcome::Ready,
        Ok((Answer { failing, .. }, connection)) if failing == [SHUTDOWN] => {
            *kept = Some(connection);
            Outcome::Leaving
        }
        Ok((Answer { status, failing }, connection)) => {
            *kept = Some(connection);
            Outcome::NotReady(match failing.is_empty() {
                true => format!("it answers with status {status}"),
                false => format!("it answers with status {status}: {}", failing.join(", ")),
            })
        }
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Outcome::Silent,
        Err(error) => Outcome::Failed(error.to_string()),
    }
}

async fn tls(target: &Target, client: Client) -> io::Result<TlsStream<TcpStream>> {
    let connection = connect(target).await?;
    let name = ServerName::try_from(NAME).map_err(io::Error::other)?;
    TlsConnector::from(client.config).connect(name, connection).await
}

/// What a server answered.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    /// The checks that fail.
    failing: Vec<String>,
}

/// Sends the question and reads the answer, so that the connection can be used again.
async fn exchange(connection: &mut TlsStream<TcpStream>) -> io::Result<Answer> {
    connection.write_all(REQUEST).await?;
    connection.flush().await?;
    let mut bytes = Vec::new();
    loop {
        if let Some(answer) = parse(&bytes)? {
            return Ok(answer);
        }
        if bytes.len() > LONGEST {
            return Err(invalid("its answer is too long"));
        }
        if connection.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Reads an answer that begins with these bytes; none if more must come first.
fn parse(bytes: &[u8]) -> io::Result<Option<Answer>> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| invalid("its answer is no HTTP"))?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 "));
    let status = status
        .and_then(|rest| rest.get(..3))
        .and_then(|code| code.parse().ok());
    let status: u16 = status.ok_or_else(|| invalid("its answer is no HTTP"))?;
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())
    });
    // Such an answer always has one.
    let Some(Some(length)) = length.filter(|length| length.is_some_and(|length| length <= LONGEST)) else {
        return Err(invalid("its answer has no length, or is too long"));
    };
    let body = &bytes[end + 4..];
    if body.len() < length {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&body[..length]);
    let failing = text.lines().filter_map(|line| line.strip_prefix("[-]"));
    let failing = failing.filter_map(|line| line.split_whitespace().next().map(str::to_owned));
    Ok(Some(Answer {
        status,
        failing: failing.collect(),
    }))
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn answers_are_read_when_they_are_whole() {
        let ready = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: y\r\n\r\nok";
        assert_eq!(parse(&ready[..ready.len() - 1]).unwrap(), None);
        assert_eq!(parse(ready).unwrap().unwrap().status, 200);
        let body = "[+]ping ok\n[-]etcd failed: reason withheld\n[-]poststarthook/x failed: y\nreadyz check failed\n";
        let failing = format!(
            "HTTP/1.1 500 Internal Server Error\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = parse(failing.as_bytes()).unwrap().unwrap();
        assert_eq!(
            (answer.status, answer.failing.join(" ")),
            (500, "etcd poststarthook/x".to_owned())
        );
        for wrong in [
            &b"SSH-2.0\r\n\r\n"[..],
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
            b"HTTP/1.1 2\xff0 OK\r\n\r\n",
        ] {
            assert!(parse(wrong).is_err());
        }
    }

    proptest! {
        #[test]
        fn no_answer_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80), head in any::<bool>()) {
            let start: &[u8] = if head { b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n" } else { b"" };
            let _ = parse(&[start, &bytes].concat());
        }
    }
}
