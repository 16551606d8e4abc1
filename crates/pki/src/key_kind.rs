//! The kinds of public keys.

use std::fmt;

/// The kind of a public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// Ed25519, the kind of all of Bedplate's own keys.
    Ed25519,
    /// A key on a NIST curve.
    Ecdsa,
    /// An RSA key.
    Rsa,
    /// Another kind.
    Other,
}

impl KeyKind {
    /// Returns the kind with this object identifier.
    pub(crate) fn of(oid: &str) -> Self {
        match oid {
            "1.3.101.112" => Self::Ed25519,
            "1.2.840.10045.2.1" => Self::Ecdsa,
            "1.2.840.113549.1.1.1" => Self::Rsa,
            _ => Self::Other,
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ed25519 => "Ed25519",
            Self::Ecdsa => "ECDSA",
            Self::Rsa => "RSA",
            Self::Other => "unknown",
        })
    }
}
