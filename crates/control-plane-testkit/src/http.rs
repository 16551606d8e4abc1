//! A client of HTTP with and without TLS, small enough to be read.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::Pair;

/// What came of a request.
#[derive(Debug)]
pub enum Answer {
    /// The status, and all that came.
    Status(u16, String),
    /// Why there was no answer.
    None(String),
}

/// Asks for a URL. `authority` vouches for the server, where the URL is one of TLS.
pub fn get(url: &str, authority: Option<&str>, client: Option<&Pair>) -> Answer {
    match ask(url, authority, client) {
        Ok(answer) => answer,
        Err(error) => Answer::None(error.to_string()),
    }
}

fn ask(
    url: &str,
    authority: Option<&str>,
    client: Option<&Pair>,
) -> Result<Answer, Box<dyn std::error::Error>> {
    let (scheme, rest) = url.split_once("://").ok_or("no scheme")?;
    let (host, path) = rest.split_once('/').ok_or("no path")?;
    let mut stream = TcpStream::connect(host)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let request = format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let mut answer = Vec::new();
    if scheme == "https" {
        let name = ServerName::try_from(host.split(':').next().ok_or("no host")?.to_owned())?;
        let connection =
            ClientConnection::new(Arc::new(config(authority.ok_or("no authority")?, client)?), name)?;
        let mut stream = StreamOwned::new(connection, stream);
        stream.write_all(request.as_bytes())?;
        read(&mut stream, &mut answer)?;
    } else {
        stream.write_all(request.as_bytes())?;
        read(&mut stream, &mut answer)?;
    }
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .ok_or("no status")?;
    Ok(Answer::Status(status, text))
}

/// Reads to the end. An end without a farewell is one, too, where something came.
fn read(stream: &mut impl Read, answer: &mut Vec<u8>) -> std::io::Result<()> {
    match stream.read_to_end(answer) {
        Err(error) if answer.is_empty() => Err(error),
        _ => Ok(()),
    }
}

fn config(authority: &str, client: Option<&Pair>) -> Result<ClientConfig, Box<dyn std::error::Error>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes())?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let builder = builder.with_root_certificates(roots);
    Ok(match client {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let certificate = CertificateDer::from_pem_slice(certificate.as_bytes())?;
            builder
                .with_client_auth_cert(vec![certificate], PrivateKeyDer::from_pem_slice(key.as_bytes())?)?
        }
    })
}
