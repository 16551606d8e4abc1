//! Containers that a node runs by itself. The doc comments here are the reference page: write them for users.

use std::collections::BTreeMap;

use serde::Serialize;

#[cfg(any(test, feature = "schema"))]
use super::defaults::yes;
use super::defaults::{is_default, is_true};
use super::lifecycle::{RestartPolicy, StopSignal, WorkloadHealth};
use super::limits::{Seccomp, WorkloadLogs, WorkloadResources};
use super::workload_network::WorkloadNetwork;
use crate::secret::Secret;
use crate::value::{
    ByteSize, ContainerPath, ContainerUser, DataPath, DevicePath, ImageReference, Name, Period, UsbId,
    VariableName, VolumeName,
};

/// A container that the node runs by itself, without Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(
    any(test, feature = "schema"),
    derive(schemars::JsonSchema),
    schemars(deny_unknown_fields)
)]
#[serde(rename_all = "camelCase")]
pub struct Workload {
    /// The workload's name, of at most 48 characters. Its service and its log are called `workload-NAME`.
    pub name: Name,
    /// Where its image comes from.
    pub image: WorkloadImage,
    /// The program and its first arguments, in place of the image's entrypoint.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub command: Vec<String>,
    /// The arguments, in place of those of the image. With `command` alone there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub args: Vec<String>,
    /// The folder in which it starts, in place of the image's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<ContainerPath>,
    /// Environment variables, besides those of the image.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub environment: BTreeMap<VariableName, String>,
    /// Secrets, which are never shown. Each is a file, and a variable on request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub secrets: Vec<WorkloadSecret>,
    /// Folders on DATA that outlive the container.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub mounts: Vec<WorkloadMount>,
    /// Folders in memory.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub tmpfs: Vec<Tmpfs>,
    /// Devices of the node. While one is missing the workload waits for it, and says so.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub devices: Vec<WorkloadDevice>,
    /// How it reaches the network. `none` if not given.
    #[serde(skip_serializing_if = "is_default")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub network: WorkloadNetwork,
    /// What it may use at most.
    #[serde(skip_serializing_if = "is_default")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub resources: WorkloadResources,
    /// The user by number, in place of the image's: `UID` or `UID:GID`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<ContainerUser>,
    /// Capabilities by the kernel's names without `CAP_`, such as `NET_BIND_SERVICE`. None if not given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub capabilities: Vec<String>,
    /// Which system calls it may make. `default` if not given.
    #[serde(skip_serializing_if = "is_default")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub seccomp: Seccomp,
    /// Set to false to let it write to its root file system; what it writes there is lost when it ends. True if not given.
    #[serde(skip_serializing_if = "is_true")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default = "yes"))]
    pub read_only_root_filesystem: bool,
    /// What to do when it ends.
    #[serde(skip_serializing_if = "is_default")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub restart_policy: RestartPolicy,
    /// How to find out whether it is healthy. Without a check it is healthy while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_check: Option<WorkloadHealth>,
    /// The signal that asks it to end, in place of the image's: `SIGTERM` if neither says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<StopSignal>,
    /// How long it may take to end before it is killed. 10 s if not given.
    #[serde(skip_serializing_if = "is_grace")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default = "grace"))]
    pub stop_grace_period: Period,
    /// Workloads that must be healthy before it starts; it ends before they do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub depends_on: Vec<Name>,
    /// How much of its log is kept on DATA.
    #[serde(skip_serializing_if = "is_default")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub logs: WorkloadLogs,
    /// How long a new image may take to get healthy before the one before is started again. 5 min if not given.
    #[serde(skip_serializing_if = "is_trial")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default = "trial"))]
    pub trial_period: Period,
}

/// Where an image comes from: exactly one of the fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(
    any(test, feature = "schema"),
    derive(schemars::JsonSchema),
    schemars(deny_unknown_fields)
)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadImage {
    /// From a registry, or imported over the API under this name. It is pulled once; with a digest it can be no other image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<ImageReference>,
    /// From an OCI archive on DATA, such as `/var/lib/workloads/images/camera.tar`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<DataPath>,
    /// From the system image, by the name under which `bedplate-image build --container` put it there. It is signed, upgraded and rolled back with the system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundled: Option<ImageReference>,
}

/// A secret of a workload: the file `/run/secrets/NAME`, which only its user can read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(
    any(test, feature = "schema"),
    derive(schemars::JsonSchema),
    schemars(deny_unknown_fields)
)]
pub struct WorkloadSecret {
    /// The secret's name, and that of its file.
    pub name: Name,
    /// Its text.
    pub value: Secret,
    /// A variable that has the text, too: a file is safer, since programs hand variables on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variable: Option<VariableName>,
}

/// A folder on DATA in a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(
    any(test, feature = "schema"),
    derive(schemars::JsonSchema),
    schemars(deny_unknown_fields)
)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadMount {
    /// The name of the folder below `/var/lib/workloads/volumes`. It is made if it is not there, and belongs to the workload's user. Workloads that name the same one share it.
    pub volume: VolumeName,
    /// Where it is in the container.
    pub target: ContainerPath,
    /// Set to true if the workload only reads it.
    #[serde(skip_serializing_if = "is_default")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub read_only: bool,
}

/// A folder in memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(
    any(test, feature = "schema"),
    derive(schemars::JsonSchema),
    schemars(deny_unknown_fields)
)]
pub struct Tmpfs {
    /// Where it is in the container.
    pub target: ContainerPath,
    /// The most it holds, which also counts as memory of the workload. 64 MiB if not given.
    #[serde(skip_serializing_if = "is_tmpfs_size")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default = "tmpfs_size"))]
    pub size: ByteSize,
}

/// A device of the node in a container: either `path` or `usb`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(
    any(test, feature = "schema"),
    derive(schemars::JsonSchema),
    schemars(deny_unknown_fields)
)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadDevice {
    /// The device's path, such as `/dev/ttyUSB0`, `/dev/i2c-1` or `/dev/gpiochip0`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<DevicePath>,
    /// A USB device by vendor and product: everything that the node has of it in `/dev`, such as its serial port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usb: Option<UsbId>,
    /// Where it is in the container; the same path if not given. Only with `path`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<DevicePath>,
    /// Set to true if the workload only reads from it.
    #[serde(skip_serializing_if = "is_default")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub read_only: bool,
}

pub(super) fn grace() -> Period {
    Period::seconds(10)
}

fn is_grace(value: &Period) -> bool {
    *value == grace()
}

pub(super) fn trial() -> Period {
    Period::seconds(300)
}

fn is_trial(value: &Period) -> bool {
    *value == trial()
}

pub(super) fn tmpfs_size() -> ByteSize {
    ByteSize::of(64 << 20)
}

fn is_tmpfs_size(value: &ByteSize) -> bool {
    *value == tmpfs_size()
}
