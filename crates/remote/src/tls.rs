//! Describes errors of TLS in sentences.

use rustls::{CertificateError, Error};

/// Describes what went wrong with a TLS connection to a server. The library's own texts are its types, printed.
pub fn explain(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(error) => certificate(error),
        Error::AlertReceived(alert) => format!(
            "the server ends the TLS handshake: {}",
            words(&format!("{alert:?}"))
        ),
        Error::PeerIncompatible(_) => {
            "the server supports no version of TLS that is supported here".to_owned()
        }
        Error::InvalidMessage(_) => "the server does not answer in TLS: is it an http:// address?".to_owned(),
        Error::NoCertificatesPresented => "the server shows no certificate".to_owned(),
        Error::General(text) => format!("TLS fails: {text}"),
        other => format!("TLS fails: {}", words(&format!("{other:?}"))),
    }
}

/// Describes what is wrong with a server's certificate.
pub fn certificate(error: &CertificateError) -> String {
    use CertificateError as E;
    let text = match error {
        E::UnknownIssuer => "the server's certificate is not signed by an authority that is trusted here",
        E::Expired | E::ExpiredContext { .. } => {
            "the server's certificate has expired, or the clock here is ahead"
        }
        E::NotValidYet | E::NotValidYetContext { .. } => {
            "the server's certificate is not valid yet, or the clock here is behind"
        }
        E::NotValidForName | E::NotValidForNameContext { .. } => {
            "the server's certificate is for another name"
        }
        E::BadSignature => "the signature of the server's certificate is invalid",
        E::BadEncoding => "the server's certificate cannot be read",
        E::Revoked => "the server's certificate was revoked",
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => "the server's certificate is not for servers",
        E::Other(other) => {
            return match other.to_string().as_str() {
                "CaUsedAsEndEntity" => {
                    "the server shows the certificate of an authority as its own".to_owned()
                }
                "EndEntityUsedAsCa" => {
                    "the server's certificate is signed by a certificate that is not an authority's"
                        .to_owned()
                }
                other => format!("the server's certificate cannot be used: {}", words(other)),
            };
        }
        other => {
            return format!(
                "the server's certificate cannot be used: {}",
                words(&format!("{other:?}"))
            );
        }
    };
    text.to_owned()
}

/// Converts the name of a type to words: `HandshakeFailure` becomes `handshake failure`, without what is inside.
pub fn words(name: &str) -> String {
    let name = name.split(['(', '{']).next().unwrap_or_default().trim();
    if name.contains(' ') {
        return name.to_owned();
    }
    let mut text = String::new();
    for (at, letter) in name.char_indices() {
        let follows = name[..at].ends_with(|before: char| !before.is_uppercase());
        if letter.is_uppercase() && follows {
            text.push(' ');
        }
        text.extend(letter.to_lowercase());
    }
    text
}

/// Finds a TLS error inside an I/O error.
pub(crate) fn inside(error: &std::io::Error) -> Option<&Error> {
    error.get_ref().and_then(|inner| inner.downcast_ref())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::{AlertDescription, InvalidMessage, OtherError, PeerIncompatible, PeerMisbehaved};

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("CaUsedAsEndEntity")]
    struct Wrapped;

    #[test]
    fn no_error_is_shown_as_its_type() {
        let errors = [
            Error::InvalidCertificate(CertificateError::UnknownIssuer),
            Error::InvalidCertificate(CertificateError::BadEncoding),
            Error::InvalidCertificate(CertificateError::UnknownRevocationStatus),
            Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(Wrapped)))),
            Error::AlertReceived(AlertDescription::HandshakeFailure),
            Error::InvalidMessage(InvalidMessage::InvalidContentType),
            Error::PeerMisbehaved(PeerMisbehaved::IllegalHelloRetryRequestWithEmptyCookie),
            Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon),
            Error::DecryptError,
            Error::General("no".to_owned()),
        ];
        for error in errors {
            let text = explain(&error);
            let is_name =
                |word: &str| word.chars().skip(1).any(char::is_uppercase) && !word.starts_with("TLS");
            assert!(
                !text.contains(['(', '{']) && !text.split(' ').any(is_name),
                "{text}"
            );
        }
        let alert = Error::AlertReceived(AlertDescription::HandshakeFailure);
        assert_eq!(
            explain(&alert),
            "the server ends the TLS handshake: handshake failure"
        );
    }
}
