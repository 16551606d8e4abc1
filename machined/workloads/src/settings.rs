//! What the program of one workload is given: a file that only it can read.

use std::collections::BTreeMap;
use std::path::Path;

use machine_config::v1alpha1::{Seccomp, Workload};
use serde::{Deserialize, Serialize};

use crate::network::join::Place;

/// The most open files of a process: enough for servers, and containerd may give it.
const OPEN_FILES: u64 = 65_536;

/// What one workload is started with. It holds secrets in plain text: it is never shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    /// The workload's name.
    pub name: String,
    /// The name of its image in containerd.
    pub image: String,
    /// The program and its first arguments; empty for the image's.
    pub command: Vec<String>,
    /// The arguments; empty for the image's, unless there is a command.
    pub args: Vec<String>,
    /// The folder in which it starts; the image's if none.
    pub working_dir: Option<String>,
    /// Variables besides the image's.
    pub environment: BTreeMap<String, String>,
    /// Secrets.
    pub secrets: Vec<SecretFile>,
    /// Folders on DATA.
    pub mounts: Vec<Volume>,
    /// Folders in memory: where, and how many bytes at most.
    pub tmpfs: Vec<(String, u64)>,
    /// Devices.
    pub devices: Vec<Wanted>,
    /// What it reaches.
    pub network: Network,
    /// The most memory in bytes.
    pub memory: Option<u64>,
    /// The most time of processors, in thousandths of one.
    pub processors: Option<u32>,
    /// The most processes and threads.
    pub pids: u32,
    /// The most open files of a process.
    pub open_files: u64,
    /// User and group; the image's if none.
    pub user: Option<(u32, u32)>,
    /// Capabilities by the kernel's names without `CAP_`.
    pub capabilities: Vec<String>,
    /// Set when it may make every system call.
    pub unconfined: bool,
    /// Set when it cannot write to its root.
    pub read_only_root: bool,
    /// The program that checks its health; empty if there is none.
    pub check: Vec<String>,
    /// The signal that asks it to end; the image's if none.
    pub stop_signal: Option<u32>,
    /// How long it may take to end, in seconds.
    pub grace_seconds: u64,
}

/// The network of a workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Network {
    /// Only itself.
    None,
    /// That of the node.
    Host,
    /// The bridge, at this place.
    Bridge(Place),
}

/// A secret of a workload.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretFile {
    /// The file's name.
    pub name: String,
    /// Its contents.
    pub value: String,
    /// The variable that has it, too.
    pub variable: Option<String>,
}

/// A folder on DATA in a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Its name below the folder of volumes.
    pub volume: String,
    /// Where it is in the container.
    pub target: String,
    /// Set when it is only read.
    pub read_only: bool,
}

/// A device that a workload wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// Its path on the node.
    pub path: Option<String>,
    /// Vendor and product of a USB device.
    pub usb: Option<String>,
    /// Its path in the container; the same if none.
    pub target: Option<String>,
    /// Set when it is only read.
    pub read_only: bool,
}

/// The settings of a workload cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("cannot read {0}")]
    Read(String, #[source] std::io::Error),
    /// The file is not what the agent writes.
    #[error("{0} is not the settings of a workload")]
    Parse(String, #[source] serde_json::Error),
}

impl Settings {
    /// Makes the settings of a workload that runs an image, under its name in containerd, in a network. Pure.
    pub fn of(workload: &Workload, image: &str, network: Network) -> Self {
        Settings {
            name: workload.name.to_string(),
            image: image.to_owned(),
            command: workload.command.clone(),
            args: workload.args.clone(),
            working_dir: workload.working_dir.as_ref().map(ToString::to_string),
            environment: workload
                .environment
                .iter()
                .map(|(name, value)| (name.to_string(), value.clone()))
                .collect(),
            secrets: workload
                .secrets
                .iter()
                .map(|secret| SecretFile {
                    name: secret.name.to_string(),
                    value: secret.value.expose().to_owned(),
                    variable: secret.variable.as_ref().map(ToString::to_string),
                })
                .collect(),
            mounts: workload
                .mounts
                .iter()
                .map(|mount| Volume {
                    volume: mount.volume.to_string(),
                    target: mount.target.to_string(),
                    read_only: mount.read_only,
                })
                .collect(),
            tmpfs: workload
                .tmpfs
                .iter()
                .map(|folder| (folder.target.to_string(), folder.size.bytes()))
                .collect(),
            devices: workload
                .devices
                .iter()
                .map(|device| Wanted {
                    path: device.path.as_ref().map(ToString::to_string),
                    usb: device.usb.as_ref().map(ToString::to_string),
                    target: device.target.as_ref().map(ToString::to_string),
                    read_only: device.read_only,
                })
                .collect(),
            network,
            memory: workload.resources.memory.map(|size| size.bytes()),
            processors: workload.resources.cpu.map(|cpu| cpu.milli()),
            pids: workload.resources.pids,
            open_files: OPEN_FILES,
            user: workload.user.as_ref().map(|user| user.ids()),
            capabilities: workload.capabilities.clone(),
            unconfined: workload.seccomp == Seccomp::Unconfined,
            read_only_root: workload.read_only_root_filesystem,
            check: workload
                .health_check
                .as_ref()
                .map(|check| check.command.clone())
                .unwrap_or_default(),
            stop_signal: workload.stop_signal.map(|signal| signal.number()),
            grace_seconds: workload.stop_grace_period.duration().as_secs(),
        }
    }

    /// Reads the settings from their file.
    ///
    /// # Errors
    ///
    /// The file is not there, or not what the agent writes.
    pub fn load(path: &Path) -> Result<Self, SettingsError> {
        let shown = || path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| SettingsError::Read(shown(), error))?;
        let text = zeroize::Zeroizing::new(text);
        serde_json::from_str(&text).map_err(|error| SettingsError::Parse(shown(), error))
    }
}
