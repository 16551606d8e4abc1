//! Signing keys and signatures in minisign's format, for publishing releases.
//!
//! The `minisign` crate makes and reads key files. Signing is done here: that crate mixes random bytes into each
//! signature, and two builds of the same image must be the same. Signatures are verified by the crate `manifest`, which
//! nodes also contain: there is no secret key on a node.

use std::fs;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use base64ct::{Base64, Encoding};
use blake2::{Blake2b512, Digest};
use ed25519_dalek::{Signer, SigningKey};
use manifest::TrustedKey;
use sys::durable;
use text::LoadError;
use zeroize::Zeroizing;

/// The environment variable with the password of the signing key.
pub const PASSWORD_VARIABLE: &str = "BEDPLATE_KEY_PASSWORD";

/// Bytes of a secret key in its file.
const SECRET_LEN: usize = 158;

/// Why a key cannot be used or made.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A key file could not be read or written.
    #[error("cannot access the key file {path}")]
    Access {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A key file is not text.
    #[error("cannot use the key file {path}")]
    Text {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: text::TextError,
    },
    /// It is not a key file, or the password is wrong.
    #[error("{path} is not a minisign secret key, or its password is wrong")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: minisign::PError,
    },
    /// It is encrypted, and there is no password.
    #[error("{path} is encrypted: give its password in {PASSWORD_VARIABLE}, or run in a terminal")]
    NeedsPassword {
        /// The file.
        path: PathBuf,
    },
    /// It is not a public key.
    #[error("{path} is not a minisign public key")]
    Public {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: manifest::KeyError,
    },
    /// No key could be made.
    #[error("cannot make a key")]
    Generate(#[source] minisign::PError),
}

/// A key that signs manifests and rollouts.
pub struct SecretKey {
    id: [u8; 8],
    signing: SigningKey,
}

/// How a new secret key is protected.
pub enum Protection {
    /// Encrypted with a password.
    Password(String),
    /// Encrypted with a password that is asked for in the terminal.
    Ask,
    /// Not encrypted: only the file's mode protects it.
    None,
}

impl SecretKey {
    /// Reads a secret key file. `password` is called only when the key is encrypted.
    pub fn load(path: &Path, password: impl FnOnce() -> Option<String>) -> Result<SecretKey, KeyError> {
        let text = load(path)?;
        let fault = |source| KeyError::Parse {
            path: path.to_owned(),
            source,
        };
        if let Some(key) = without_checksum(&text) {
            return Ok(key);
        }
        let boxed = minisign::SecretKeyBox::from_string(&text).map_err(fault)?;
        let key = if is_encrypted(&text) {
            let password = password().ok_or_else(|| KeyError::NeedsPassword {
                path: path.to_owned(),
            })?;
            boxed.into_secret_key(Some(password)).map_err(fault)?
        } else {
            boxed.into_unencrypted_secret_key().map_err(fault)?
        };
        Ok(SecretKey::from_minisign(&key))
    }

    /// Returns the public key that verifies this one's signatures.
    pub fn public(&self) -> TrustedKey {
        TrustedKey {
            id: self.id,
            key: self.signing.verifying_key().to_bytes(),
        }
    }

    /// Signs a message; the same message always gets the same signature. `what` describes it to people, such as a manifest;
    /// the trusted comment is signed like the message.
    pub fn sign(&self, what: &str, message: &[u8], trusted_comment: &str) -> String {
        let signature = self.signing.sign(&Blake2b512::digest(message)).to_bytes();
        let mut line = b"ED".to_vec();
        line.extend_from_slice(&self.id);
        line.extend_from_slice(&signature);
        // The second signature also covers the comment, so that it can be trusted.
        let mut both = signature.to_vec();
        both.extend_from_slice(trusted_comment.as_bytes());
        let global = self.signing.sign(&both).to_bytes();
        format!(
            "untrusted comment: signature of a Bedplate {what}\n{}\ntrusted comment: {trusted_comment}\n{}\n",
            Base64::encode_string(&line),
            Base64::encode_string(&global)
        )
    }

    fn from_minisign(key: &minisign::SecretKey) -> SecretKey {
        let bytes: Zeroizing<Vec<u8>> = key.to_bytes().into();
        SecretKey::from_fields(bytes.first_chunk().expect("a secret key has this length"))
    }

    /// Takes the fields of a secret key file: algorithms 3×2, salt 32, limits 2×8, id 8, seed 32, public key 32, checksum 32.
    fn from_fields(bytes: &[u8; SECRET_LEN]) -> SecretKey {
        let id = bytes[54..62].try_into().expect("a slice of 8");
        let seed: Zeroizing<[u8; 32]> = Zeroizing::new(bytes[62..94].try_into().expect("a slice of 32"));
        SecretKey {
            id,
            signing: SigningKey::from_bytes(&seed),
        }
    }
}

/// Reads an unencrypted key as minisign's own program writes it (`minisign -G -W`), with zeros in place of the checksum, which the
/// crate insists on. That its halves belong together says as much.
fn without_checksum(text: &str) -> Option<SecretKey> {
    let bytes = fields(text)?;
    let plain = bytes[..2] == *b"Ed" && bytes[2..4] == [0, 0] && bytes[126..] == [0; 32];
    let key = plain.then(|| SecretKey::from_fields(&bytes))?;
    (key.public().key == bytes[94..126]).then_some(key)
}

/// Reads the fields of a secret key file; `None` if it is something else.
fn fields(text: &str) -> Option<Zeroizing<[u8; SECRET_LEN]>> {
    let line = text.lines().nth(1)?.trim();
    let bytes = Zeroizing::new(Base64::decode_vec(line).ok()?);
    let bytes: [u8; SECRET_LEN] = bytes.as_slice().try_into().ok()?;
    Some(Zeroizing::new(bytes))
}

/// Finds the password of an encrypted key: in the environment, or by asking in the terminal.
pub fn password(path: &Path) -> Option<String> {
    if let Ok(password) = std::env::var(PASSWORD_VARIABLE) {
        return Some(password);
    }
    io::stdin()
        .is_terminal()
        .then(|| rpassword::prompt_password(format!("Password of {}: ", path.display())).ok())?
}

/// The longest key file.
const LIMIT: usize = 16 * 1024;

fn load(path: &Path) -> Result<Zeroizing<String>, KeyError> {
    let path = path.to_owned();
    text::load(&path, LIMIT).map_err(|error| match error {
        LoadError::Access(source) => KeyError::Access { path, source },
        LoadError::Text(source) => KeyError::Text { path, source },
    })
}

/// Reads a public key file.
pub fn load_public(path: &Path) -> Result<TrustedKey, KeyError> {
    let text = load(path)?;
    TrustedKey::parse(&text).map_err(|source| KeyError::Public {
        path: path.to_owned(),
        source,
    })
}

/// Makes a key pair: `NAME.key`, which only its owner can read, and `NAME.pub`. Never replaces a file.
pub fn create(folder: &Path, name: &str, protection: Protection) -> Result<(PathBuf, PathBuf), KeyError> {
    let secret = folder.join(format!("{name}.key"));
    let public = folder.join(format!("{name}.pub"));
    let access = |path: &Path| {
        let path = path.to_owned();
        move |source| KeyError::Access { path, source }
    };
    fs::create_dir_all(folder).map_err(access(folder))?;
    // Before the password is asked for, so that nobody types one in vain.
    for path in [&secret, &public] {
        if path.exists() {
            return Err(access(path)(io::ErrorKind::AlreadyExists.into()));
        }
    }
    let pair = match protection {
        Protection::Password(password) => minisign::KeyPair::generate_encrypted_keypair(Some(password)),
        Protection::Ask => minisign::KeyPair::generate_encrypted_keypair(None),
        Protection::None => minisign::KeyPair::generate_unencrypted_keypair(),
    }
    .map_err(KeyError::Generate)?;
    let id = hex::encode_upper(pair.pk.keynum().iter().rev().copied().collect::<Vec<u8>>());
    let text = pair
        .sk
        .to_box(Some(&format!("Bedplate secret key {id}")))
        .map_err(KeyError::Generate)?
        .into_string();
    durable::create(&secret, text.as_bytes(), 0o600).map_err(access(&secret))?;
    let text = format!(
        "untrusted comment: Bedplate public key {id}\n{}\n",
        pair.pk.to_base64()
    );
    durable::create(&public, text.as_bytes(), 0o644).map_err(access(&public))?;
    Ok((secret, public))
}

/// Returns true if a secret key file is encrypted: bytes 2 and 3 name its key derivation function, zero for none.
fn is_encrypted(text: &str) -> bool {
    fields(text).is_some_and(|bytes| bytes[2..4] != [0, 0])
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_new_key_signs_what_its_public_half_verifies() {
        let dir = tempfile::tempdir().unwrap();
        let (secret, public) = create(dir.path(), "bedplate", Protection::None).unwrap();
        assert_eq!(fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600);
        let key = SecretKey::load(&secret, || None).unwrap();
        assert_eq!(load_public(&public).unwrap(), key.public());
        let signature = key.sign("manifest", b"manifest", "bedplate x 1.0.0");
        assert_eq!(
            signature,
            key.sign("manifest", b"manifest", "bedplate x 1.0.0"),
            "signing must repeat"
        );

        let theirs = minisign::PublicKeyBox::from_string(&fs::read_to_string(&public).unwrap()).unwrap();
        let theirs = theirs.into_public_key().unwrap();
        let signature = minisign::SignatureBox::from_string(&signature).unwrap();
        minisign::verify(
            &theirs,
            &signature,
            io::Cursor::new(b"manifest"),
            true,
            false,
            false,
        )
        .unwrap();
        assert!(
            minisign::verify(
                &theirs,
                &signature,
                io::Cursor::new(b"manifesT"),
                true,
                false,
                false
            )
            .is_err()
        );
    }

    #[test]
    fn an_unencrypted_key_of_minisign_s_own_program_signs() {
        let dir = tempfile::tempdir().unwrap();
        let (secret, public) = (dir.path().join("k.key"), dir.path().join("k.pub"));
        let minisign = |arguments: &[&std::ffi::OsStr]| {
            let ended = std::process::Command::new("minisign")
                .args(arguments)
                .output()
                .unwrap();
            assert!(ended.status.success(), "{ended:?}");
        };
        minisign(&[
            "-G".as_ref(),
            "-W".as_ref(),
            "-p".as_ref(),
            public.as_ref(),
            "-s".as_ref(),
            secret.as_ref(),
        ]);
        let key = SecretKey::load(&secret, || None).unwrap();
        assert_eq!(load_public(&public).unwrap(), key.public());
        let message = dir.path().join("message");
        fs::write(&message, "ledger").unwrap();
        fs::write(
            dir.path().join("message.minisig"),
            key.sign("ledger", b"ledger", "mine"),
        )
        .unwrap();
        minisign(&[
            "-V".as_ref(),
            "-m".as_ref(),
            message.as_ref(),
            "-p".as_ref(),
            public.as_ref(),
        ]);

        // A key whose halves do not belong together is damaged.
        let text = fs::read_to_string(&secret).unwrap();
        let mut bytes = fields(&text).unwrap();
        bytes[100] ^= 1;
        let damaged = format!(
            "untrusted comment: x\n{}\n",
            Base64::encode_string(bytes.as_slice())
        );
        fs::write(&secret, damaged).unwrap();
        assert!(matches!(
            SecretKey::load(&secret, || None),
            Err(KeyError::Parse { .. })
        ));
    }

    #[test]
    fn an_encrypted_key_needs_the_right_password() {
        let dir = tempfile::tempdir().unwrap();
        let (secret, public) = create(dir.path(), "k", Protection::Password("right".into())).unwrap();
        let key = SecretKey::load(&secret, || Some("right".into())).unwrap();
        assert_eq!(load_public(&public).unwrap(), key.public());
        assert!(matches!(
            SecretKey::load(&secret, || Some("wrong".into())),
            Err(KeyError::Parse { .. })
        ));
        assert!(matches!(
            SecretKey::load(&secret, || None),
            Err(KeyError::NeedsPassword { .. })
        ));
    }

    #[test]
    fn a_key_is_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        create(dir.path(), "k", Protection::None).unwrap();
        assert!(matches!(
            create(dir.path(), "k", Protection::None),
            Err(KeyError::Access { .. })
        ));
    }
}
