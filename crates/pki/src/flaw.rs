//! Flaws of certificates and keys, and how to fix them.

use std::fmt;
use std::time::SystemTime;

use crate::KeyKind;

/// A flaw of a certificate or key. Completes a sentence that starts with its name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// The text holds no certificate.
    #[error("holds no PEM certificate")]
    NoCertificate,
    /// The text is in a form that only OpenSSL reads.
    #[error("is an OpenSSL TRUSTED CERTIFICATE; convert it: openssl x509 -in FILE -out NEW")]
    Trusted,
    /// A block is incomplete.
    #[error("holds a certificate that is cut short; copy all of it, up to its last line")]
    CutShort,
    /// A PEM block is not a certificate.
    #[error("holds a certificate that cannot be read; copy it again")]
    Unreadable,
    /// The text holds no supported key.
    #[error("is not a private key in PEM (PKCS #8)")]
    NoKey,
    /// The key is encrypted.
    #[error("is encrypted, and nobody could type its passphrase; remove it: openssl pkey -in FILE -out NEW")]
    EncryptedKey,
    /// The key does not match the certificate.
    #[error("belongs to another certificate; give the key that was made with this one")]
    OtherKey,
    /// The certificate is not an authority's.
    #[error(
        "is not one of a certificate authority (it lacks CA:TRUE); give the authority's own certificate, not one it signed"
    )]
    NotAuthority,
    /// The certificate is an authority's, but must not sign.
    #[error(
        "may not sign certificates (its key usage lacks keyCertSign); make a new authority: bedplate gen secrets"
    )]
    MayNotSign,
    /// The kind of key is not supported.
    #[error(
        "has a key of kind {0}, and all keys of Bedplate are Ed25519; make a new authority: bedplate gen secrets"
    )]
    Kind(KeyKind),
    /// The key is of a kind that Kubernetes does not sign tokens with.
    #[error("is an Ed25519 key, with which Kubernetes signs no tokens; make one: bedplate gen secrets")]
    NotForTokens,
    /// It has expired.
    #[error("expired on {0}; give one that is valid")]
    Expired(Day),
    /// It is not valid yet.
    #[error("is valid only from {from}, and it is {today} here; set the clock, or make a new one")]
    NotYet {
        /// The first day on which it is valid.
        from: Day,
        /// The current day by the clock here.
        today: Day,
    },
    /// It is not a client's.
    #[error("is not for clients (its extended key usage lacks clientAuth); make one: bedplate gen client")]
    NotForClients,
    /// Certificates that it signs are refused in a handshake.
    #[error(
        "signs certificates that nodes and clients refuse, perhaps because of its name constraints; make a new authority: bedplate gen secrets"
    )]
    Unbelieved,
    /// The authority did not sign it.
    #[error("was not signed by the given authority, or its chain does not lead there")]
    NotSigned,
}

/// A day, printed as year, month and day.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Day(SystemTime);

impl From<SystemTime> for Day {
    fn from(moment: SystemTime) -> Self {
        Self(moment)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = self.0.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
        match time::OffsetDateTime::from_unix_timestamp(seconds) {
            Ok(moment) => moment.date().fmt(f),
            Err(_) => f.write_str("a day after the year 9999"),
        }
    }
}

impl fmt::Debug for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
