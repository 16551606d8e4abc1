//! Problems with nodes, explained with a hint what to do.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::{Duration, SystemTime};

use pki::Certificate;
use pki::authority::{LOCKED_NAME, MAINTENANCE_NAME, UNJOINED_NAME};
use rustls::{AlertDescription, CertificateError};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::address::Address;
use crate::ui;

/// A problem with one node, with a hint where there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    text: String,
    hint: Option<String>,
    /// The node could not be reached: another endpoint may work.
    pub unreachable: bool,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

impl Error for Problem {}

impl Problem {
    /// Returns a problem without a hint.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            hint: None,
            unreachable: false,
        }
    }

    /// Gives a hint, in place of one that there is.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Names the endpoint that a node was called through.
    pub fn through(mut self, endpoint: &Address) -> Self {
        self.text.push_str(&format!(" (called through {endpoint})"));
        self
    }

    /// Explains why no connection was made.
    pub fn unreachable(address: &Address, error: &io::Error) -> Self {
        let (text, hint) = match error.kind() {
            io::ErrorKind::ConnectionRefused => (
                format!("nothing listens on {address}"),
                "the node may still be starting; its console shows when the API answers",
            ),
            io::ErrorKind::TimedOut => (
                format!("{address} does not answer"),
                "is the node switched on, and is the address right? a firewall in between looks the same",
            ),
            _ => (
                format!("cannot reach {address}: {error}"),
                "check the name or address, and the route to it",
            ),
        };
        Self {
            unreachable: true,
            ..Self::new(text).hint(hint)
        }
    }

    /// Explains that the node accepted the connection, but did not answer in time.
    pub fn timed_out(address: &Address, after: Duration) -> Self {
        let text = format!(
            "{address} accepted the connection, but did not answer within {}",
            ui::duration(after)
        );
        let mut problem = Self::new(text).hint("the node may be busy: use --timeout to wait longer");
        problem.unreachable = true;
        problem
    }

    /// Explains a failed or interrupted TLS handshake.
    pub fn handshake(address: &Address, error: &io::Error, seen: Option<&Certificate>) -> Self {
        match find_cause::<rustls::Error>(error) {
            Some(error) => Self::tls(address, error, seen),
            None => Self::new(format!("{address} closed the connection during the TLS handshake: {error}")).hint(
                "is this the API of a node? a node that has just started may not have a certificate yet: try again",
            ),
        }
    }

    /// Explains a connection that broke after the handshake.
    pub fn broken(address: &Address, error: &(dyn Error + 'static), seen: Option<&Certificate>) -> Self {
        match find_cause::<rustls::Error>(error) {
            Some(error) => Self::tls(address, error, seen),
            None => Self::new(format!("the connection to {address} broke: {}", ui::chain(error)))
                .hint("the node may be rebooting, or refuse the client certificate: see its log"),
        }
    }

    /// Explains a call that failed.
    pub fn status(address: &Address, status: &Status, seen: Option<&Certificate>) -> Self {
        if let Some(error) = status.source().and_then(find_cause::<rustls::Error>) {
            return Self::tls(address, error, seen);
        }
        if let Some(faults) = status.get_details_bad_request() {
            let lines = faults
                .field_violations
                .iter()
                .map(|fault| match fault.field.as_str() {
                    "" => format!("\n  {}", fault.description),
                    field => format!("\n  {field}: {}", fault.description),
                });
            return Self::new(format!(
                "{address} refused the request:{}",
                lines.collect::<String>()
            ));
        }
        let said = if status.message().is_empty() {
            status.code().description()
        } else {
            status.message()
        };
        let problem = match status.source() {
            Some(source) => Self::broken(address, source, seen),
            None => Self::new(format!("{address}: {said}")),
        };
        match status.code() {
            Code::PermissionDenied => problem.hint(
                "use a client certificate with that role: generate one with `bedplate gen client --role`",
            ),
            Code::Unimplemented => problem.hint("the node may run an older version: see `bedplate version`"),
            _ => problem,
        }
    }

    /// Explains a TLS error of either side.
    pub fn tls(address: &Address, error: &rustls::Error, seen: Option<&Certificate>) -> Self {
        match error {
            rustls::Error::InvalidCertificate(error) => Self::bad_server(address, error, seen),
            rustls::Error::AlertReceived(alert) => Self::refused(address, *alert),
            rustls::Error::PeerIncompatible(_) => Self::new(format!(
                "{address} does not speak TLS 1.3: it is not the API of a node"
            )),
            error => Self::new(format!(
                "the TLS connection to {address} failed: {}",
                remote::tls::explain(error)
            )),
        }
    }

    /// Explains why the node's certificate is not trusted.
    fn bad_server(address: &Address, error: &CertificateError, seen: Option<&Certificate>) -> Self {
        use CertificateError as E;
        let details = seen.map(Certificate::details);
        let name = details.map_or("", |details| details.name.as_str());
        let print = seen
            .map(|seen| seen.fingerprint().to_string())
            .unwrap_or_default();
        match error {
            E::ApplicationVerificationFailure => Self::new(format!(
                "the certificate of {address} has the fingerprint {print}, which is not the one given"
            ))
            .hint("a node in maintenance mode generates a new certificate at each boot: compare with its console"),
            _ if name == MAINTENANCE_NAME => Self::new(format!(
                "{address} is in maintenance mode: it has no machine config"
            ))
            .hint(format!(
                "compare this fingerprint with the node's console, then apply a config:\n    \
                     bedplate apply -n {address} --fingerprint {print} -f FILE"
            )),
            _ if name == UNJOINED_NAME => Self::new(format!(
                "{address} is a worker that has not joined its cluster, so its certificate is not signed by the cluster's CA"
            ))
            .hint(format!(
                "compare with the node's console, then use --fingerprint {print}"
            )),
            _ if name == LOCKED_NAME => Self::new(format!(
                "{address} is locked: its machine config, or its certificate, cannot be used"
            ))
            .hint(format!(
                "its console shows the reason; compare the fingerprint with the console, then repair the node:\n    \
                     bedplate apply -n {address} --fingerprint {print} -f FILE"
            )),
            E::UnknownIssuer | E::BadSignature => Self::new(format!(
                "the certificate of {address} is signed by {:?}, not by this context's CA",
                details.map_or("", |details| details.issuer.as_str()),
            ))
            .hint("is this the right context? or was the node set up again with other secrets?"),
            E::Expired | E::ExpiredContext { .. } | E::NotValidYet | E::NotValidYetContext { .. } => {
                let from = details
                    .map(|details| ui::moment(details.not_before))
                    .unwrap_or_default();
                let until = details
                    .map(|details| ui::moment(details.not_after))
                    .unwrap_or_default();
                Self::new(format!(
                    "the certificate of {address} is valid from {from} to {until}, but the time here is {}",
                    ui::moment(SystemTime::now())
                ))
                .hint("one of the two clocks is wrong: check this machine's clock, then the node's time servers")
            }
            E::NotValidForName | E::NotValidForNameContext { .. } => {
                let names = details
                    .map(|details| details.alternative_names.join(", "))
                    .unwrap_or_default();
                Self::new(format!(
                    "the certificate of {address} is not valid for {:?}, only for {names}",
                    address.host()
                ))
                .hint("use one of these names, or add the name to machine.certSANs in the node's config")
            }
            error => Self::new(format!(
                "the certificate of {address} cannot be used: {}",
                remote::tls::certificate(error)
            )),
        }
    }

    /// Explains why the node refused the client certificate.
    fn refused(address: &Address, alert: AlertDescription) -> Self {
        use AlertDescription as A;
        match alert {
            A::CertificateRequired => Self::new(format!("{address} requires a client certificate"))
                .hint("the node is configured already: use its cluster's context, without --insecure"),
            A::UnknownCA | A::DecryptError | A::BadCertificate => Self::new(format!(
                "{address} does not trust the CA of the client certificate"
            ))
            .hint("is this the right context? or was the node set up again with other secrets?"),
            A::CertificateExpired => Self::new(format!(
                "{address} refused the client certificate as expired or not yet valid"
            ))
            .hint("if `bedplate context show` shows a valid one, one of the two clocks is wrong"),
            alert => Self::new(format!(
                "{address} refused the TLS handshake: {}",
                remote::tls::words(&format!("{alert:?}"))
            )),
        }
    }
}

/// Finds an error of type `E` among the causes of another, including those inside I/O errors.
pub fn find_cause<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        let inner = error
            .downcast_ref::<io::Error>()
            .and_then(|error| error.get_ref());
        if let Some(found) = inner.and_then(|inner| find_cause::<E>(inner)) {
            return Some(found);
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address() -> Address {
        "node1".parse().unwrap()
    }

    #[test]
    fn an_error_is_found_inside_others() {
        let alert = rustls::Error::AlertReceived(AlertDescription::CertificateRequired);
        let wrapped = io::Error::other(io::Error::other(alert));
        let problem = Problem::broken(&address(), &wrapped, None);
        assert!(
            problem
                .to_string()
                .starts_with("node1:50000 requires a client certificate\n  hint: "),
            "{problem}"
        );
    }

    #[test]
    fn a_refused_connection_is_not_the_end() {
        let problem = Problem::unreachable(&address(), &io::ErrorKind::ConnectionRefused.into());
        assert!(problem.unreachable);
        assert!(problem.to_string().starts_with("nothing listens on node1:50000"));
    }

    #[test]
    fn a_locked_node_is_recognised() {
        let made = pki::authority::locked().unwrap();
        let error = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let problem = Problem::handshake(&address(), &io::Error::other(error), Some(&made.certificate));
        let text = problem.to_string();
        let print = made.certificate.fingerprint().to_string();
        assert!(
            text.contains("is locked") && text.contains(&format!("--fingerprint {print}")),
            "{text}"
        );
    }

    #[test]
    fn maintenance_mode_is_recognised() {
        let made = pki::authority::maintenance(&[]).unwrap();
        let error = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let problem = Problem::handshake(&address(), &io::Error::other(error), Some(&made.certificate));
        let text = problem.to_string();
        assert!(
            text.contains("maintenance mode") && text.contains(&made.certificate.fingerprint().to_string()),
            "{text}"
        );
    }
}
