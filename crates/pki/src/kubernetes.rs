//! What a cluster runs Kubernetes with: three authorities and two keys.

use std::fmt;
use std::time::{Duration, SystemTime};

use base64ct::{Base64, Encoding as _};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use crate::pair::Pair;
use crate::{Authority, Error, PrivateKey, random};

/// How long the certificate of a person for the Kubernetes API lives, unless asked otherwise: a day.
pub const PERSON_LIFE: Duration = Duration::from_secs(24 * 3600);
/// How long it lives at most.
pub const LONGEST_PERSON_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);

/// The authorities of a cluster's Kubernetes, and what it signs and encrypts with. Their keys are ECDSA, which everything
/// that talks to Kubernetes speaks.
#[derive(Debug)]
pub struct KubernetesSecrets {
    /// Vouches for the API's server, components, nodes and users.
    pub authority: Authority,
    /// Vouches for etcd's members and clients.
    pub etcd: Authority,
    /// Vouches for the API server as it passes calls on to extensions of the API.
    pub front_proxy: Authority,
    /// Signs the tokens of service accounts.
    pub service_account: PrivateKey,
    /// Encrypts secrets in etcd.
    pub encryption: EncryptionKey,
}

/// A key that encrypts what is stored. It is erased when dropped, and never printed.
pub struct EncryptionKey(Zeroizing<[u8; 32]>);

impl EncryptionKey {
    /// Makes a new key.
    pub fn generate() -> Result<Self, Error> {
        let mut key = Zeroizing::new([0; 32]);
        random(key.as_mut())?;
        Ok(Self(key))
    }

    /// Reads a key from base64; `what` names it in errors.
    pub fn from_base64(text: &str, what: &'static str) -> Result<Self, Error> {
        let mut key = Zeroizing::new([0; 32]);
        match Base64::decode(text.trim(), key.as_mut()) {
            Ok(decoded) if decoded.len() == 32 => Ok(Self(key)),
            _ => Err(Error::EncryptionKey(what)),
        }
    }

    /// Writes the key as base64.
    pub fn to_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(Base64::encode_string(self.0.as_slice()))
    }

    /// Returns its bytes.
    pub fn bytes(&self) -> &Zeroizing<[u8; 32]> {
        &self.0
    }
}

impl fmt::Debug for EncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EncryptionKey(<redacted>)")
    }
}

impl KubernetesSecrets {
    /// Makes those of a new cluster.
    pub fn generate(cluster_id: &str, now: SystemTime) -> Result<Self, Error> {
        // Names tell people which is which; clients compare keys.
        let authority =
            |of: &str| Authority::generate_ecdsa(&format!("{of} of Bedplate cluster {cluster_id}"), now);
        Ok(Self {
            authority: authority("Kubernetes")?,
            etcd: authority("etcd")?,
            front_proxy: authority("Kubernetes front proxy")?,
            service_account: PrivateKey::generate_ecdsa()?,
            encryption: EncryptionKey::generate()?,
        })
    }
}

/// The same, as it stands in the file of secrets. What is secret is erased when it is dropped.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct File {
    ca: Pair,
    #[serde(rename = "etcdCA")]
    etcd_ca: Pair,
    #[serde(rename = "frontProxyCA")]
    front_proxy_ca: Pair,
    service_account_key: String,
    encryption_key: String,
}

impl From<&KubernetesSecrets> for File {
    fn from(secrets: &KubernetesSecrets) -> Self {
        Self {
            ca: Pair::of(&secrets.authority),
            etcd_ca: Pair::of(&secrets.etcd),
            front_proxy_ca: Pair::of(&secrets.front_proxy),
            service_account_key: secrets.service_account.to_pem().to_string(),
            encryption_key: secrets.encryption.to_base64().to_string(),
        }
    }
}

impl TryFrom<File> for KubernetesSecrets {
    type Error = Error;

    fn try_from(file: File) -> Result<Self, Error> {
        Ok(Self {
            authority: file.ca.authority("kubernetes.ca")?,
            etcd: file.etcd_ca.authority("kubernetes.etcdCA")?,
            front_proxy: file.front_proxy_ca.authority("kubernetes.frontProxyCA")?,
            service_account: PrivateKey::from_pem(&file.service_account_key, "kubernetes.serviceAccountKey")?,
            encryption: EncryptionKey::from_base64(&file.encryption_key, "kubernetes.encryptionKey")?,
        })
    }
}

impl Drop for File {
    fn drop(&mut self) {
        self.service_account_key.zeroize();
        self.encryption_key.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KeyKind;

    #[test]
    fn each_authority_is_its_own_and_nothing_secret_is_printed() {
        let secrets = KubernetesSecrets::generate("abc", SystemTime::now()).unwrap();
        let all = [&secrets.authority, &secrets.etcd, &secrets.front_proxy];
        for (index, authority) in all.iter().enumerate() {
            assert_eq!(authority.certificate().details().key_kind, KeyKind::Ecdsa);
            for other in &all[..index] {
                assert_ne!(
                    authority.certificate().details().public,
                    other.certificate().details().public
                );
            }
        }
        let shown = format!("{secrets:?}");
        let key = secrets.encryption.to_base64();
        assert!(
            !shown.contains("PRIVATE") && !shown.contains(key.as_str()),
            "{shown}"
        );
        let again = EncryptionKey::from_base64(&key, "x").unwrap();
        assert_eq!(again.bytes(), secrets.encryption.bytes());
        for wrong in ["", "AAAA", "not base64", &format!("{}AAAA", key.as_str())] {
            assert!(EncryptionKey::from_base64(wrong, "x").is_err(), "{wrong}");
        }
    }
}
