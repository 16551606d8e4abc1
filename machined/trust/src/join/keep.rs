//! What a worker keeps on its disk: its own key, its certificates, and whom it may ask.
//!
//! With them it starts while all control planes are away. They are worth no more than the token beside them.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use pki::PrivateKey;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

/// The node's own key.
const KEY: &str = "node.key";
/// What it has got.
const CERTIFICATES: &str = "certificates.json";

/// A certificate and its key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeptCertificate {
    /// The certificate in PEM.
    pub certificate: String,
    /// Its key in PEM.
    pub key: String,
    /// What it was asked to name.
    pub names: Vec<String>,
    /// First moment at which it is valid, in seconds since 1970.
    pub not_before: u64,
    /// Last moment at which it is valid, in seconds since 1970.
    pub not_after: u64,
}

impl Drop for KeptCertificate {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

/// Everything that a node has got from control planes.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Kept {
    /// The fingerprint over the authorities of the machine config.
    pub trust: String,
    /// The certificates, by `COMPONENT/FILE`.
    pub certificates: BTreeMap<String, KeptCertificate>,
    /// The host that answered last.
    pub last: Option<String>,
    /// Control planes, by name.
    pub control_planes: Vec<(String, Vec<IpAddr>)>,
}

/// The folder that it is kept in.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

impl Folder {
    /// Keeps everything in this folder, which need not be there yet.
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Returns the node's own key, and makes it the first time.
    ///
    /// # Errors
    ///
    /// A key that cannot be read, made or written.
    pub fn key(&self) -> Result<PrivateKey, Error> {
        let path = self.0.join(KEY);
        match std::fs::read_to_string(&path).map(Zeroizing::new) {
            Ok(pem) => match PrivateKey::from_pem(&pem, "the node's own key") {
                Ok(key) => return Ok(key),
                Err(error) => tracing::error!("{}; it is made again", state::chain(&error)),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::Key(error)),
        }
        let key = PrivateKey::generate()?;
        self.write(&path, key.to_pem().as_bytes()).map_err(Error::Key)?;
        Ok(key)
    }

    /// Returns what is kept; nothing where it cannot be read.
    pub fn read(&self) -> Kept {
        let bytes = match std::fs::read(self.0.join(CERTIFICATES)).map(Zeroizing::new) {
            Ok(bytes) => bytes,
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::error!("cannot read the node's certificates: {error}");
                }
                return Kept::default();
            }
        };
        match serde_json::from_slice::<Kept>(&bytes) {
            Ok(kept) => kept,
            Err(error) => {
                tracing::error!("the node's certificates on its disk are broken: {error}");
                Kept::default()
            }
        }
    }

    /// Keeps these.
    ///
    /// # Errors
    ///
    /// The file system's.
    pub fn save(&self, kept: &Kept) -> Result<(), Error> {
        let text = serde_json::to_vec(kept).map(Zeroizing::new);
        let text = text.map_err(|error| Error::Save(error.into()))?;
        self.write(&self.0.join(CERTIFICATES), &text).map_err(Error::Save)
    }

    /// Forgets all certificates, and keeps the key.
    pub fn forget(&self) {
        if let Err(error) = std::fs::remove_file(self.0.join(CERTIFICATES))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::error!("cannot remove the node's certificates: {error}");
        }
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        std::fs::create_dir_all(&self.0)?;
        sys::durable::write(path, bytes, 0o600)
    }
}

/// Why something is not kept.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The key.
    #[error("cannot keep the node's own key")]
    Key(#[source] io::Error),
    /// It cannot be made.
    #[error(transparent)]
    Make(#[from] pki::Error),
    /// The certificates.
    #[error("cannot keep the node's certificates")]
    Save(#[source] io::Error),
}

/// Returns the moment that is so many seconds after 1970.
pub(super) fn moment(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}
