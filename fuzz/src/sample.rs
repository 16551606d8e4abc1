//! What targets start from: a sound manifest, a key, and signatures by it.

use base64ct::{Base64, Encoding as _};
use blake2::{Blake2b512, Digest as _};
use ed25519_dalek::{Signer as _, SigningKey};
use manifest::{Manifest, TrustedKey};

/// The manifest that crate `manifest` is tested with.
pub const MANIFEST: &[u8] = include_bytes!("../../crates/manifest/tests/golden/manifest.json");
/// Its signature, made by minisign.
pub const SIGNATURE: &str = include_str!("../../crates/manifest/tests/golden/manifest.json.minisig");
/// The key of that signature.
pub const PUBLIC_KEY: &str = include_str!("../../crates/manifest/tests/golden/minisign.pub");

/// Returns a sound manifest to change.
pub fn manifest() -> Manifest {
    Manifest::parse_unverified(MANIFEST).expect("the golden manifest is sound")
}

/// Signs as minisign does: a key for tests, always the same.
pub struct Signer(SigningKey);

impl Signer {
    /// Makes the key of this number.
    pub fn new(number: u8) -> Self {
        Self(SigningKey::from_bytes(&[number; 32]))
    }

    /// Returns the public half.
    pub fn key(&self) -> TrustedKey {
        TrustedKey {
            id: *b"fuzz key",
            key: self.0.verifying_key().to_bytes(),
        }
    }

    /// Returns the four lines of a signature, without their ends. Comments must be single lines.
    pub fn lines(&self, message: &[u8], untrusted: &str, trusted: &str) -> [String; 4] {
        let signature = self.0.sign(&Blake2b512::digest(message)).to_bytes();
        let global = self
            .0
            .sign(&[&signature[..], trusted.as_bytes()].concat())
            .to_bytes();
        let block = [b"ED", &self.key().id[..], &signature].concat();
        [
            format!("untrusted comment: {untrusted}"),
            Base64::encode_string(&block),
            format!("trusted comment: {trusted}"),
            Base64::encode_string(&global),
        ]
    }

    /// Returns a whole signature.
    pub fn sign(&self, message: &[u8]) -> String {
        self.lines(message, "a fuzzer's", "a fuzzer's").join("\n") + "\n"
    }
}
