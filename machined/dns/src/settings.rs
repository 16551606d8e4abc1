//! What the service is given.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use cluster_zone::ZoneConfig;
use cluster_zone::proto::rr::Name;
use machine_config::value::IpPrefix;
use serde::{Deserialize, Serialize};

/// The most bytes that a settings file has.
const LARGEST: u64 = 64 * 1024;

/// The settings of the service, written as JSON by the controller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    /// The name of the cluster.
    pub cluster: String,
    /// The cluster's domain, without its final dot.
    pub domain: String,
    /// The addresses of the cluster's DNS, where pods ask.
    pub addresses: Vec<IpAddr>,
    /// The port at those addresses.
    pub port: u16,
    /// Where the health check asks.
    pub check: SocketAddr,
    /// The networks of pods.
    pub pods: Vec<IpPrefix>,
    /// The networks of services.
    pub services: Vec<IpPrefix>,
    /// Where the API server is: `https://HOST:PORT`.
    pub api: String,
    /// The group and version of slices of endpoints: `discovery.k8s.io/v1`.
    pub endpoint_slices: String,
    /// The certificates of the cluster's authority.
    pub authority: PathBuf,
    /// The client's certificate. It may not be there yet.
    pub certificate: PathBuf,
    /// The key of the client's certificate.
    pub key: PathBuf,
    /// The list of the node's own name servers.
    pub resolv_conf: PathBuf,
    /// What was known last.
    pub saved: PathBuf,
}

/// The settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The file is not what it should be.
    #[error("{} does not hold settings of the DNS", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// Where not.
        #[source]
        source: serde_json::Error,
    },
    /// The domain is not a name.
    #[error("the domain {domain:?} is not a DNS name")]
    Domain {
        /// What was given.
        domain: String,
    },
}

impl Settings {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, or is not of this form.
    pub fn load(path: &Path) -> Result<Self, SettingsError> {
        let text = read(path, LARGEST).map_err(|source| SettingsError::Read {
            path: path.to_owned(),
            source,
        })?;
        serde_json::from_slice(&text).map_err(|source| SettingsError::Form {
            path: path.to_owned(),
            source,
        })
    }

    /// Returns what the zone is about.
    ///
    /// # Errors
    ///
    /// A domain that is not a name.
    pub fn zone(&self) -> Result<ZoneConfig, SettingsError> {
        let wrong = || SettingsError::Domain {
            domain: self.domain.clone(),
        };
        let mut domain = Name::from_ascii(&self.domain).map_err(|_| wrong())?;
        domain.set_fqdn(true);
        if domain.is_root() {
            return Err(wrong());
        }
        Ok(ZoneConfig {
            domain,
            dns: self.addresses.clone(),
            pods: self.pods.clone(),
            services: self.services.clone(),
        })
    }

    /// Returns where pods ask.
    pub fn sockets(&self) -> impl Iterator<Item = SocketAddr> {
        self.addresses
            .iter()
            .map(|address| SocketAddr::new(*address, self.port))
    }
}

/// Reads a file that has at most so many bytes.
pub(crate) fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?
        .take(most + 1)
        .read_to_end(&mut bytes)?;
    match bytes.len() as u64 > most {
        true => Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it has more than {most} bytes"),
        )),
        false => Ok(bytes),
    }
}
