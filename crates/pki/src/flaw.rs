//! What is wrong with a certificate or key that somebody gave, and the way out.

use std::fmt;
use std::time::SystemTime;

use crate::KeyKind;

/// What is wrong with a certificate or key. Completes a sentence that begins with its name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// The text holds no certificate.
    #[error("holds no PEM certificate")]
    NoCertificate,
    /// The text is in the form of OpenSSL alone.
    #[error("is an OpenSSL TRUSTED CERTIFICATE; write it out plain: openssl x509 -in FILE -out NEW")]
    Trusted,
    /// A block ends before what it holds does.
    #[error("holds a certificate that is cut short; copy the whole of it, to its last line")]
    CutShort,
    /// A block of PEM holds something that is no certificate.
    #[error("holds a certificate that cannot be read; copy it anew")]
    Unreadable,
    /// The text holds no key that we know.
    #[error("is no private key in PEM (PKCS #8)")]
    NoKey,
    /// The key has a passphrase.
    #[error(
        "is encrypted, and nobody could type its passphrase; take it off: openssl pkey -in FILE -out NEW"
    )]
    EncryptedKey,
    /// The key was made with another certificate.
    #[error("belongs to another certificate; give the key that was made with this one")]
    OtherKey,
    /// The certificate is one that an authority signed, or has no say at all.
    #[error(
        "is not one of a certificate authority (it lacks CA:TRUE); give the authority's own certificate, not one it signed"
    )]
    NotAuthority,
    /// The certificate is an authority's, but not for signing.
    #[error(
        "may not sign certificates (its key usage lacks keyCertSign); make the authority anew: bedplate gen secrets"
    )]
    MayNotSign,
    /// The key is of a kind that the rest does not speak.
    #[error(
        "has a key of kind {0}, and all keys of Bedplate are Ed25519; make the authority anew: bedplate gen secrets"
    )]
    Kind(KeyKind),
    /// It was valid once.
    #[error("expired on {0}; give one that is valid")]
    Expired(Day),
    /// It will be valid once.
    #[error("is valid only from {from}, and it is {today} here; set the clock right, or make it anew")]
    NotYet {
        /// First day on which it is valid.
        from: Day,
        /// The day by the clock here.
        today: Day,
    },
    /// It is no client's.
    #[error("is not for clients (its extended key usage lacks clientAuth); make one: bedplate gen client")]
    NotForClients,
    /// What it signs is refused by the rules of a handshake.
    #[error(
        "signs nothing that nodes and clients believe, perhaps for its name constraints; make the authority anew: bedplate gen secrets"
    )]
    Unbelieved,
    /// The authority does not vouch for it.
    #[error("was not signed by the authority that stands beside it, or not with a chain that leads there")]
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
