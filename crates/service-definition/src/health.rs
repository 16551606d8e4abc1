//! Health checks of services.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::faults::Collector;
use crate::fields::{HOUR, command, is_plain_path};
use crate::raw::{HealthCheck, HealthTls, Unhealthy};

/// How to find out whether a service is healthy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// What is checked.
    pub check: Check,
    /// How long to wait between checks.
    pub interval: Duration,
    /// How long one check may take.
    pub timeout: Duration,
    /// How many checks must fail in a row before the service counts as unhealthy.
    pub failures: u32,
    /// What to do then.
    pub unhealthy: Unhealthy,
}

/// One kind of health check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// The container runtime that answers on this Unix socket is ready for pods.
    Cri(PathBuf),
    /// The service accepts connections on this Unix socket.
    UnixSocket(PathBuf),
    /// The service accepts connections on this address.
    Tcp(SocketAddr),
    /// The service answers this address and path with a status of 200 to 399.
    Http {
        /// Where it listens.
        address: SocketAddr,
        /// The path to request; starts with a slash.
        path: String,
        /// How to ask over TLS; none for plain HTTP.
        tls: Option<Tls>,
    },
    /// This program, with these arguments, exits with 0.
    Exec(Vec<String>),
}

/// The files in PEM that a health check over TLS reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The CAs that are trusted.
    pub ca: PathBuf,
    /// The client certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// Checks the definition of a health check.
pub(crate) fn checked(raw: &HealthCheck, faults: &mut Collector<'_>) -> Health {
    faults.within("health.everySeconds", raw.every_seconds, 1, HOUR);
    faults.within("health.timeoutSeconds", raw.timeout_seconds, 1, HOUR);
    faults.within("health.failures", raw.failures, 1, 1000);
    let given = [
        raw.cri.is_some(),
        raw.socket.is_some(),
        raw.tcp.is_some(),
        raw.http.is_some(),
        raw.exec.is_some(),
    ];
    if given.iter().filter(|given| **given).count() != 1 {
        faults.fault("health", "set exactly one of cri, socket, tcp, http and exec");
    }
    let https = raw.http.as_ref().is_some_and(|http| http.starts_with("https://"));
    if raw.tls.is_some() && !https {
        faults.fault(
            "health.tls",
            "is for an address that starts with https://; remove it",
        );
    }
    Health {
        check: way(raw, faults),
        interval: Duration::from_secs(u64::from(raw.every_seconds)),
        timeout: Duration::from_secs(u64::from(raw.timeout_seconds)),
        failures: raw.failures,
        unhealthy: raw.unhealthy,
    }
}

fn way(raw: &HealthCheck, faults: &mut Collector<'_>) -> Check {
    if let Some(tcp) = &raw.tcp {
        return Check::Tcp(address("health.tcp", tcp, faults));
    }
    if let Some(http) = &raw.http {
        let (rest, tls) = match (http.strip_prefix("http://"), http.strip_prefix("https://")) {
            (Some(rest), _) => (rest, None),
            (None, Some(rest)) => (rest, tls(raw.tls.as_ref(), faults)),
            (None, None) => {
                let text = format!("{http:?} does not start with http:// or https://");
                faults.fault("health.http", text);
                ("", None)
            }
        };
        let at = rest.find('/').unwrap_or(rest.len());
        let (host, path) = rest.split_at(at);
        if path.bytes().any(|byte| !byte.is_ascii_graphic()) {
            faults.fault(
                "health.http",
                format!("{path:?} is not a path; write %20 for a space"),
            );
        }
        return Check::Http {
            address: address("health.http", host, faults),
            path: if path.is_empty() {
                "/".to_owned()
            } else {
                path.to_owned()
            },
            tls,
        };
    }
    if let Some(exec) = &raw.exec {
        return Check::Exec(command("health.exec", exec.clone(), faults));
    }
    if let Some(cri) = &raw.cri {
        return Check::Cri(file("health.cri", cri, faults));
    }
    match &raw.socket {
        Some(path) => Check::UnixSocket(file("health.socket", path, faults)),
        None => Check::UnixSocket(PathBuf::new()),
    }
}

fn tls(raw: Option<&HealthTls>, faults: &mut Collector<'_>) -> Option<Tls> {
    let Some(raw) = raw else {
        let text = "is missing; name the CA of the https:// address: tls: {ca: /path/to/ca.crt}";
        faults.fault("health.tls", text);
        return None;
    };
    let identity = match (&raw.cert, &raw.key) {
        (Some(cert), Some(key)) => Some((
            file("health.tls.cert", cert, faults),
            file("health.tls.key", key, faults),
        )),
        (None, None) => None,
        _ => {
            faults.fault("health.tls", "has only one of cert and key; set both or neither");
            None
        }
    };
    Some(Tls {
        ca: file("health.tls.ca", &raw.ca, faults),
        identity,
    })
}

fn file(field: &str, path: &str, faults: &mut Collector<'_>) -> PathBuf {
    if !is_plain_path(path) {
        faults.fault(field, format!("{path:?} is not an absolute path"));
    }
    PathBuf::from(path)
}

fn address(field: &str, text: &str, faults: &mut Collector<'_>) -> SocketAddr {
    text.parse().unwrap_or_else(|_| {
        faults.fault(
            field,
            format!("{text:?} is not an address and port, such as 127.0.0.1:2379"),
        );
        SocketAddr::from(([127, 0, 0, 1], 0))
    })
}
