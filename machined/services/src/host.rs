//! What a service does to the machine it runs on, behind one trait.

mod files;
mod isolate;
mod linux;
mod prepared;
mod probe;
#[cfg(test)]
mod recording;

use async_trait::async_trait;
use service_definition::{Check, Definition};
use state::kinds::{Rights, ServiceFile};
use sys::process::Exit;
use tokio::sync::oneshot;

use crate::writes::Written;

pub use linux::LinuxHost;
pub use prepared::{BeforeStart, PreparedHost};
#[cfg(test)]
pub use recording::{HostCall, RecordingHost};

/// Starts, watches and ends the processes of services.
#[async_trait]
pub trait Host: Send + Sync {
    /// Makes what a service needs, its files included, and starts it.
    async fn spawn(&self, service: &Definition, files: &[ServiceFile]) -> Result<Process, HostError>;

    /// Replaces files of a service while it runs. Its paths are the same as at its start.
    fn refresh(&self, service: &Definition, files: &[ServiceFile]) -> Result<(), HostError>;

    /// Removes what was made for a service that is stopped and will not come back.
    fn forget(&self, service: &Definition) -> Result<(), HostError>;

    /// Asks the main process of a service to end.
    fn terminate(&self, pid: u32) -> Result<(), HostError>;

    /// Kills the main process of a service, and all its others when its kill mode says so.
    fn kill(&self, service: &Definition, pid: u32) -> Result<(), HostError>;

    /// Removes what the main process left behind when the kill mode says so, and returns when it is gone.
    async fn sweep(&self, service: &Definition) -> Result<(), HostError>;

    /// Checks the health of a service. The error says what is wrong, and nothing else.
    async fn check(&self, service: &Definition, check: &Check) -> Result<(), String>;

    /// Returns the memory that a service uses, in bytes.
    fn memory(&self, service: &Definition) -> Option<u64>;

    /// Returns what a service has written to disks.
    fn written(&self, service: &Definition) -> Option<Written>;

    /// Returns what a process may do; none when it has ended.
    fn rights(&self, pid: u32) -> Option<Rights>;

    /// Names the cgroup of a service; empty when it has none.
    fn cgroup(&self, service: &Definition) -> String;
}

/// The main process of a service.
#[derive(Debug)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// How it ended, when it has.
    pub exit: oneshot::Receiver<Exit>,
}

/// What could not be done to the machine.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// A folder that the service needs cannot be made.
    #[error("cannot make folder {path}")]
    Folder {
        /// The folder.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file of the service cannot be written or removed.
    #[error("cannot write or remove {path}")]
    File {
        /// The file, or its folder.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The program cannot be started.
    #[error("cannot start {program}")]
    Start {
        /// The program.
        program: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Its output cannot be captured.
    #[error("cannot capture what it says")]
    Capture(#[source] std::io::Error),
    /// Its cgroup is not as it should be.
    #[error(transparent)]
    Cgroup(#[from] super::cgroup::CgroupError),
    /// A system call failed.
    #[error(transparent)]
    System(#[from] sys::Error),
    /// What was killed does not go away.
    #[error("processes of {service} are still there {seconds} s after they were killed")]
    Remains {
        /// The service.
        service: String,
        /// How long it was waited.
        seconds: u64,
    },
}
