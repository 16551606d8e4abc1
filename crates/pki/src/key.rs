//! Private keys, protected from accidental leaks.

use std::fmt;

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PublicKeyData as _, SignatureAlgorithm};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use crate::{Error, Flaw};

/// A private key. It is zeroed when dropped, and never printed.
///
/// New keys are Ed25519: small, fast to generate on a small board, and deterministic when signing. Keys that are read may
/// also be ECDSA, and those of Kubernetes are: it signs its tokens with nothing newer. The copy that ring makes for
/// signing is not zeroed: ring does not support that.
pub struct PrivateKey(Zeroizing<KeyPair>);

impl PrivateKey {
    /// Makes a new Ed25519 key.
    pub fn generate() -> Result<Self, Error> {
        Self::of(&PKCS_ED25519)
    }

    /// Makes a new ECDSA key on the curve P-256.
    pub fn generate_ecdsa() -> Result<Self, Error> {
        Self::of(&PKCS_ECDSA_P256_SHA256)
    }

    fn of(algorithm: &'static SignatureAlgorithm) -> Result<Self, Error> {
        let pair = KeyPair::generate_for(algorithm);
        let pair = pair.map_err(|source| Error::Make {
            what: "a key",
            source,
        })?;
        Ok(Self(Zeroizing::new(pair)))
    }

    /// Reads a key from PEM. `what` names it in errors.
    pub fn from_pem(pem: &str, what: &'static str) -> Result<Self, Error> {
        Self::read(pem).map_err(|flaw| Error::Flaw { what, flaw })
    }

    /// Reads the first key of a PEM text, and says what is wrong with it.
    pub(crate) fn read(pem: &str) -> Result<Self, Flaw> {
        // The sources could quote the text, so they are left out on purpose.
        let der = PrivateKeyDer::from_pem_slice(pem.as_bytes());
        match der.as_ref().map(KeyPair::try_from) {
            Ok(Ok(pair)) => Ok(Self(Zeroizing::new(pair))),
            _ if pem.contains("ENCRYPTED") => Err(Flaw::EncryptedKey),
            _ => Err(Flaw::NoKey),
        }
    }

    /// Converts the key to PEM, for a file that only its owner can read.
    pub fn to_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(self.0.serialize_pem())
    }

    /// Tells whether it is of Bedplate's own kind.
    pub(crate) fn is_ed25519(&self) -> bool {
        self.0.is_compatible(&PKCS_ED25519)
    }

    /// Returns the public half in PEM, for verifying only.
    pub fn public_pem(&self) -> String {
        self.0.public_key_pem()
    }

    /// Returns the key in rustls's form. The caller passes it on at once.
    pub(crate) fn to_der(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.0.serialize_der()).into()
    }

    /// Returns the public half, as in a certificate.
    pub(crate) fn public(&self) -> &[u8] {
        self.0.der_bytes()
    }

    pub(crate) fn pair(&self) -> &KeyPair {
        &self.0
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(<redacted>)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_pem_and_is_not_printed() {
        let key = PrivateKey::generate().unwrap();
        let pem = key.to_pem();
        let again = PrivateKey::from_pem(&pem, "the test").unwrap();
        assert_eq!(key.public(), again.public());
        assert_eq!(format!("{key:?}"), "PrivateKey(<redacted>)");
    }

    #[test]
    fn an_error_does_not_quote_the_key() {
        let error = PrivateKey::from_pem(
            "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----",
            "x",
        );
        let error = format!("{:?}", error.unwrap_err());
        assert!(!error.contains("c2VjcmV0"), "{error}");
    }
}
