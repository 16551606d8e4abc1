//! Errors of keys and certificates.

use crate::Flaw;

/// Which key or certificate is wrong, and how.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A certificate or key is invalid.
    #[error("{what} {flaw}")]
    Flaw {
        /// Which one.
        what: &'static str,
        /// Its flaw.
        flaw: Flaw,
    },
    /// Key and certificate do not match.
    #[error("the private key of {0} belongs to another certificate")]
    KeyMismatch(&'static str),
    /// Making a key or a certificate failed.
    #[error("cannot make {what}")]
    Make {
        /// What was to be made.
        what: &'static str,
        /// Why not.
        #[source]
        source: rcgen::Error,
    },
    /// A date is too far in the future.
    #[error("no certificate can be dated after the year 9999")]
    Date,
    /// TLS refuses the settings.
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
    /// The authority cannot vouch for anybody.
    #[error("cannot check client certificates against the authority")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    /// The file of secrets is not what it should be.
    #[error("cannot read the secrets")]
    Yaml(#[from] yaml::Fault),
    /// A fingerprint is not 32 bytes in hex.
    #[error("{0:?} is no fingerprint; expected 64 hex digits, with or without colons")]
    Fingerprint(String),
    /// The key for encrypting secrets is not what it should be.
    #[error("{0} is not a key for encryption; expected 32 bytes in base64")]
    EncryptionKey(&'static str),
    /// The operating system has no random numbers.
    #[error("the operating system gives no random numbers")]
    Random,
}
