//! Keys of Curve25519, in base64 as everywhere with WireGuard.

use std::path::Path;
use std::{fmt, fs, io};

use base64ct::{Base64, Encoding as _};
use curve25519_dalek::MontgomeryPoint;
use rand::TryRngCore as _;
use rand::rngs::OsRng;
use zeroize::{Zeroize as _, Zeroizing};

/// A public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key(pub(crate) [u8; 32]);

impl Key {
    /// Reads a key. Returns none if it is not one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        let decoded = Base64::decode(text, &mut bytes).ok()?;
        (decoded.len() == 32 && bytes != [0; 32]).then_some(Self(bytes))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Base64::encode_string(&self.0))
    }
}

/// A private key. It is erased from memory when it is dropped.
pub(crate) struct PrivateKey(Zeroizing<[u8; 32]>);

impl PrivateKey {
    /// Reads the key in a file, or makes one where there is none.
    pub(crate) fn load(path: &Path) -> io::Result<Self> {
        let mut key = Zeroizing::new([0; 32]);
        match fs::read(path).map(Zeroizing::new) {
            Ok(text) => {
                let read = Base64::decode(text.trim_ascii_end(), &mut *key).map(|read| read.len());
                // One that a power cut or somebody else has damaged is of no use to anybody: others learn the new one.
                if read == Ok(32) {
                    return Ok(Self(key));
                }
                tracing::warn!("{} holds no key: it is made again", path.display());
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Err(_) => (),
        }
        OsRng.try_fill_bytes(&mut *key).map_err(io::Error::other)?;
        // As Curve25519 has it: the kernel does the same.
        key[0] &= 248;
        key[31] = (key[31] & 127) | 64;
        let mut text = Base64::encode_string(&*key).into_bytes();
        text.push(b'\n');
        let written = sys::durable::write(path, &text, 0o600);
        text.zeroize();
        written.map(|()| Self(key))
    }

    /// Returns the public key to it.
    pub(crate) fn public(&self) -> Key {
        Key(MontgomeryPoint::mul_base_clamped(*self.0).to_bytes())
    }

    /// Returns its bytes.
    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_public_key_is_that_of_the_standard() {
        // RFC 7748, section 6.1.
        let private = "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=";
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mesh.key");
        fs::write(&path, private).unwrap();
        let key = PrivateKey::load(&path).unwrap();
        assert_eq!(
            key.public().to_string(),
            "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo="
        );
    }

    #[test]
    fn a_key_is_made_once_for_the_node_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mesh.key");
        let one = PrivateKey::load(&path).unwrap().public();
        assert_eq!(PrivateKey::load(&path).unwrap().public(), one);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Key::parse(&one.to_string()), Some(one));
        fs::write(&path, "torn").unwrap();
        assert_ne!(PrivateKey::load(&path).unwrap().public(), one);
        for wrong in [
            "",
            "AAAA",
            "no key",
            &"A".repeat(1000),
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        ] {
            assert_eq!(Key::parse(wrong), None, "{wrong}");
        }
    }
}
