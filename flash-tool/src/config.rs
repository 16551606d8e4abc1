//! The machine config that is written to the medium.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use machine_config::medium::{self, MediumError};
use machine_config::{Faults, MachineConfig, Overrides};
use pki::Moment;
use serde::Serialize;
use text::LoadError;
use zeroize::Zeroizing;

/// A machine config that was checked as a whole. Contains secrets: it never prints its text.
#[derive(Clone, PartialEq, Eq)]
pub struct Injected {
    yaml: Zeroizing<String>,
    frame: Zeroizing<Vec<u8>>,
    summary: ConfigSummary,
    firmware: Vec<String>,
}

/// What may be shown of a machine config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigSummary {
    /// The file it came from.
    pub file: String,
    /// The node's name, if it has one.
    pub hostname: Option<String>,
    /// The node's role.
    pub role: String,
    /// Its static addresses.
    pub addresses: Vec<String>,
    /// Bytes of the document.
    pub bytes: usize,
}

/// Why a machine config is not injected.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the machine config {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The document has faults.
    #[error("the machine config has faults, nothing was written:\n{}", .faults.in_file(&.path.display().to_string()))]
    Faulty {
        /// The file.
        path: PathBuf,
        /// All its faults.
        faults: Faults,
    },
    /// The overrides do not fit the document.
    #[error("--hostname, --address, --gateway or --interface does not fit the machine config")]
    Override(#[source] Faults),
    /// The document is too long for the medium.
    #[error(transparent)]
    Medium(#[from] MediumError),
}

impl Injected {
    /// Reads a file, checks it, and applies the overrides.
    pub fn load(path: &Path, overrides: &Overrides) -> Result<Self, ConfigError> {
        let path = PathBuf::from(path);
        match text::load(&path, machine_config::LIMIT) {
            Ok(text) => Self::parse(&path, text, overrides),
            Err(LoadError::Access(source)) => Err(ConfigError::Read { path, source }),
            Err(LoadError::Text(error)) => Err(ConfigError::Faulty {
                path,
                faults: error.into(),
            }),
        }
    }

    /// Checks a document, and applies the overrides. Without any, it is injected unchanged.
    pub fn parse(path: &Path, text: Zeroizing<String>, overrides: &Overrides) -> Result<Self, ConfigError> {
        let parsed = pki::parse_config(&text, Moment::of_host(SystemTime::now()));
        let parsed = parsed.map_err(|faults| ConfigError::Faulty {
            path: path.into(),
            faults,
        })?;
        let (config, yaml) = if overrides.is_empty() {
            (parsed, text)
        } else {
            let config = overrides.apply(&parsed).map_err(ConfigError::Override)?;
            let yaml = Zeroizing::new(config.to_yaml_with_secrets());
            (config, yaml)
        };
        let frame = Zeroizing::new(medium::encode(&yaml)?);
        let summary = summary(path, &config, yaml.len());
        let firmware = config
            .machine
            .firmware
            .config
            .iter()
            .map(ToString::to_string)
            .collect();
        Ok(Self {
            yaml,
            frame,
            summary,
            firmware,
        })
    }

    /// Returns what may be shown.
    pub fn summary(&self) -> &ConfigSummary {
        &self.summary
    }

    /// Returns its lines for the firmware of the board.
    pub fn firmware(&self) -> &[String] {
        &self.firmware
    }

    /// Returns the document.
    pub(crate) fn yaml(&self) -> &str {
        &self.yaml
    }

    /// Returns the bytes for the CONFIG partition.
    pub(crate) fn frame(&self) -> Vec<u8> {
        self.frame.to_vec()
    }
}

impl fmt::Debug for Injected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.summary.fmt(f)
    }
}

/// Returns the node's name, if the config gives one.
pub(crate) fn hostname(config: &MachineConfig) -> Option<String> {
    config.machine.hostname.as_ref().map(ToString::to_string)
}

fn summary(path: &Path, config: &MachineConfig, bytes: usize) -> ConfigSummary {
    let machine = &config.machine;
    let role = machine_config::v1alpha1::Role::ALL
        .iter()
        .find(|(_, role)| *role == machine.role);
    ConfigSummary {
        file: path.display().to_string(),
        hostname: hostname(config),
        role: role.map_or_else(String::new, |(word, _)| (*word).to_owned()),
        addresses: machine
            .network
            .interfaces
            .iter()
            .flat_map(|i| &i.addresses)
            .map(ToString::to_string)
            .collect(),
        bytes,
    }
}
