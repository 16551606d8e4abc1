//! The starting points of targets: a valid manifest, a key, and signatures by it.

use std::sync::OnceLock;

use base64ct::{Base64, Encoding as _};
use blake2::{Blake2b512, Digest as _};
use ed25519_dalek::{Signer as _, SigningKey};
use manifest::{Manifest, TrustedKey};

/// The test manifest of the crate `manifest`.
pub const MANIFEST: &[u8] = include_bytes!("../../crates/manifest/tests/golden/manifest.json");
/// Its signature, made by minisign.
pub const SIGNATURE: &str = include_str!("../../crates/manifest/tests/golden/manifest.json.minisig");
/// The key of that signature.
pub const PUBLIC_KEY: &str = include_str!("../../crates/manifest/tests/golden/minisign.pub");

/// Returns a valid manifest to change.
pub fn manifest() -> Manifest {
    Manifest::parse_unverified(MANIFEST).expect("the golden manifest is valid")
}

/// Signs as minisign does, with deterministic test keys.
pub struct Signer {
    secret: SigningKey,
    public: TrustedKey,
}

/// The number of signers.
const SIGNERS: u8 = 8;

impl Signer {
    /// Returns the signer of this number.
    pub fn number(number: u8) -> &'static Self {
        static ALL: OnceLock<Vec<Signer>> = OnceLock::new();
        let all = ALL.get_or_init(|| (0..SIGNERS).map(Self::make).collect());
        &all[usize::from(number % SIGNERS)]
    }

    fn make(number: u8) -> Self {
        let secret = SigningKey::from_bytes(&[number; 32]);
        let public = TrustedKey {
            // All have the same ID: it proves nothing.
            id: *b"fuzz key",
            key: secret.verifying_key().to_bytes(),
        };
        Self { secret, public }
    }

    /// Returns the public half.
    pub fn key(&self) -> TrustedKey {
        self.public
    }

    /// Returns the four lines of a signature, without their ends. Comments must be single lines.
    pub fn lines(&self, message: &[u8], untrusted: &str, trusted: &str) -> [String; 4] {
        let signature = self.secret.sign(&Blake2b512::digest(message)).to_bytes();
        let global = self
            .secret
            .sign(&[&signature[..], trusted.as_bytes()].concat())
            .to_bytes();
        let block = [b"ED", &self.public.id[..], &signature].concat();
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
