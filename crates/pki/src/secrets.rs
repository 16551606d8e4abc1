//! The secrets of a cluster, in one file that its owner keeps.

use std::fmt;
use std::time::SystemTime;

use machine_config::MachineConfig;
use machine_config::v1alpha1::CertificateAuthority;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::kubernetes::{self, EncryptionKey, KubernetesSecrets};
use crate::pair::Pair;
use crate::{Authority, Certificate, Error, PrivateKey, random};

const API_VERSION: &str = "bedplate.dev/v1alpha1";
const KIND: &str = "Secrets";

/// The secrets of a cluster. Whoever has them controls every node of it.
pub struct Secrets {
    /// Signs the certificates of nodes and users.
    pub authority: Authority,
    /// The token with which a node joins the cluster.
    pub token: Zeroizing<String>,
    /// Distinguishes clusters of the same name; not secret.
    pub cluster_id: String,
    /// What the cluster runs Kubernetes with. Files from before there were clusters have none.
    pub kubernetes: Option<KubernetesSecrets>,
}

impl Secrets {
    /// Generates the secrets of a new cluster.
    pub fn generate(now: SystemTime) -> Result<Self, Error> {
        let cluster_id = word(16)?;
        let token = Zeroizing::new(format!("{}.{}", word(6)?, word(26)?));
        Ok(Self {
            authority: Authority::generate(&format!("Bedplate cluster {cluster_id}"), now)?,
            token,
            kubernetes: Some(KubernetesSecrets::generate(&cluster_id, now)?),
            cluster_id,
        })
    }

    /// Makes what is missing, and tells whether anything was.
    pub fn complete(&mut self, now: SystemTime) -> Result<bool, Error> {
        let incomplete = self.kubernetes.is_none();
        if incomplete {
            self.kubernetes = Some(KubernetesSecrets::generate(&self.cluster_id, now)?);
        }
        Ok(incomplete)
    }

    /// Collects the secrets of a cluster from the machine config of one of its control planes, or of a standalone node. Of
    /// authorities that are being rotated it takes those that sign.
    ///
    /// # Errors
    ///
    /// A config without the keys of its authorities, such as a worker's.
    pub fn of_config(config: &MachineConfig) -> Result<Self, Error> {
        let (machine, cluster) = (&config.machine, &config.cluster);
        let kubernetes = match (&cluster.ca, &cluster.secrets) {
            (Some(ca), Some(secrets)) => Some(KubernetesSecrets {
                authority: of_config(ca, "cluster.ca")?,
                etcd: of_config(&secrets.etcd_ca, "cluster.secrets.etcdCA")?,
                front_proxy: of_config(&secrets.front_proxy_ca, "cluster.secrets.frontProxyCA")?,
                service_account: PrivateKey::from_pem(
                    secrets.service_account_key.expose(),
                    "cluster.secrets.serviceAccountKey",
                )?,
                encryption: EncryptionKey::from_base64(
                    secrets.encryption_key.expose(),
                    "cluster.secrets.encryptionKey",
                )?,
            }),
            _ => None,
        };
        let token = machine.token.as_ref().map_or("", machine_config::Secret::expose);
        Ok(Self {
            authority: of_config(&machine.ca, "machine.ca")?,
            token: Zeroizing::new(token.to_owned()),
            cluster_id: cluster.id.as_ref().map(ToString::to_string).unwrap_or_default(),
            kubernetes,
        })
    }

    /// Reads the file.
    pub fn from_yaml(text: &str) -> Result<Self, Error> {
        let file: File = yaml::document(text, API_VERSION, KIND)?;
        Ok(Self {
            authority: file.ca.authority("ca")?,
            token: Zeroizing::new(file.token),
            cluster_id: file.cluster_id,
            kubernetes: file.kubernetes.map(KubernetesSecrets::try_from).transpose()?,
        })
    }

    /// Writes the file.
    pub fn to_yaml(&self) -> Zeroizing<String> {
        let mut file = File {
            api_version: API_VERSION.to_owned(),
            kind: KIND.to_owned(),
            cluster_id: self.cluster_id.clone(),
            token: self.token.to_string(),
            ca: Pair::of(&self.authority),
            kubernetes: self.kubernetes.as_ref().map(kubernetes::File::from),
        };
        let text = yaml::to_string(&file).expect("texts can always be written as YAML");
        zeroize::Zeroize::zeroize(&mut file.token);
        Zeroizing::new(text)
    }
}

/// Reads the authority that signs, without those that are only accepted.
fn of_config(ca: &CertificateAuthority, what: &'static str) -> Result<Authority, Error> {
    let first = Certificate::from_pem(ca.cert.as_str(), what)?;
    let key = ca.key.as_ref().map_or("", machine_config::Secret::expose);
    Authority::from_pem(&first.to_pem(), key, what)
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets")
            .field("cluster_id", &self.cluster_id)
            .finish_non_exhaustive()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    api_version: String,
    kind: String,
    cluster_id: String,
    token: String,
    ca: Pair,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kubernetes: Option<kubernetes::File>,
}

/// Makes a random word: five bits per letter, without letters that look alike.
fn word(length: usize) -> Result<String, Error> {
    const LETTERS: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz023456789";
    let mut bytes = Zeroizing::new(vec![0; length]);
    random(&mut bytes)?;
    Ok(bytes
        .iter()
        .map(|byte| char::from(LETTERS[usize::from(byte % 32)]))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_round_trip_and_differ_each_time() {
        let secrets = Secrets::generate(SystemTime::now()).unwrap();
        let yaml = secrets.to_yaml();
        let again = Secrets::from_yaml(&yaml).unwrap();
        assert_eq!(again.to_yaml(), yaml);
        let other = Secrets::generate(SystemTime::now()).unwrap();
        assert_ne!(other.token, secrets.token);
        assert_ne!(other.cluster_id, secrets.cluster_id);
    }

    #[test]
    fn a_file_from_before_there_were_clusters_is_read_and_completed() {
        let new = Secrets::generate(SystemTime::now()).unwrap();
        let text = new.to_yaml();
        let old = text.split("kubernetes:").next().unwrap();
        let mut secrets = Secrets::from_yaml(old).unwrap();
        assert!(secrets.kubernetes.is_none());
        assert_eq!(secrets.to_yaml().as_str(), old);
        assert!(secrets.complete(SystemTime::now()).unwrap());
        assert!(!secrets.complete(SystemTime::now()).unwrap());
        assert_eq!(secrets.token, new.token);
        let completed = secrets.to_yaml();
        assert_eq!(Secrets::from_yaml(&completed).unwrap().to_yaml(), completed);
    }

    #[test]
    fn another_kind_of_file_is_refused() {
        let error =
            Secrets::from_yaml("apiVersion: bedplate.dev/v1alpha1\nkind: ClientConfig\n").unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(
            source,
            "kind: \"ClientConfig\" is not known here; expected Secrets (line 2)"
        );
    }

    #[test]
    fn printing_shows_no_secret() {
        let secrets = Secrets::generate(SystemTime::now()).unwrap();
        let shown = format!("{secrets:?}");
        assert!(
            !shown.contains(secrets.token.as_str()) && !shown.contains("PRIVATE"),
            "{shown}"
        );
    }
}
