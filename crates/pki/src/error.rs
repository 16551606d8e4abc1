//! What can be wrong with keys and certificates.

/// Says which key or certificate is wrong, and how.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text holds no certificate.
    #[error("{0} holds no PEM certificate")]
    NoCertificate(&'static str),
    /// A block of PEM holds something that is no certificate.
    #[error("{0} holds a certificate that cannot be read")]
    BadCertificate(&'static str),
    /// The text holds no key that we know.
    #[error("{0} is no private key in PEM (PKCS #8)")]
    BadKey(&'static str),
    /// Key and certificate were made separately.
    #[error("the private key of {0} belongs to another certificate")]
    KeyMismatch(&'static str),
    /// A certificate cannot sign others.
    #[error("the certificate of {0} is not one of a certificate authority")]
    NotAuthority(&'static str),
    /// Making a key or a certificate failed.
    #[error("cannot make {what}")]
    Make {
        /// What was to be made.
        what: &'static str,
        /// Why not.
        #[source]
        source: rcgen::Error,
    },
    /// TLS does not take the settings.
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
    /// The authority cannot vouch for anybody.
    #[error("cannot check client certificates against the authority")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    /// The file of secrets is not what it should be.
    #[error("cannot read the secrets")]
    Yaml(#[from] serde_yaml::Error),
    /// The file is of another kind.
    #[error("the secrets are {found:?}; expected {expected:?}")]
    Kind {
        /// What the file says.
        found: String,
        /// What it should say.
        expected: String,
    },
    /// A fingerprint is not 32 bytes in hex.
    #[error("{0:?} is no fingerprint; expected 64 hex digits, with or without colons")]
    Fingerprint(String),
    /// The operating system has no random numbers.
    #[error("the operating system gives no random numbers")]
    Random,
}
