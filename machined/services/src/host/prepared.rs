//! A host that does something before one of its services starts.

use std::sync::Arc;

use async_trait::async_trait;
use service_definition::{Check, Definition};
use state::kinds::{Rights, ServiceFile};

use super::{Host, HostError, Process};
use crate::writes::Written;

/// Something that has to be done before each start of a service, while it does not run. It reports its own failures, and the
/// service is started all the same.
#[async_trait]
pub trait BeforeStart: Send + Sync {
    /// Does it.
    async fn before_start(&self);
}

/// A host with something to do before each start of one service.
pub struct PreparedHost<H> {
    host: H,
    service: &'static str,
    before: Arc<dyn BeforeStart>,
}

impl<H: Host> PreparedHost<H> {
    /// Puts `before` in front of each start of the service with this name.
    pub fn new(host: H, service: &'static str, before: Arc<dyn BeforeStart>) -> Self {
        PreparedHost {
            host,
            service,
            before,
        }
    }
}

#[async_trait]
impl<H: Host> Host for PreparedHost<H> {
    async fn spawn(&self, service: &Definition, files: &[ServiceFile]) -> Result<Process, HostError> {
        if service.name == self.service {
            self.before.before_start().await;
        }
        self.host.spawn(service, files).await
    }

    fn refresh(&self, service: &Definition, files: &[ServiceFile]) -> Result<(), HostError> {
        self.host.refresh(service, files)
    }

    fn forget(&self, service: &Definition) -> Result<(), HostError> {
        self.host.forget(service)
    }

    fn terminate(&self, pid: u32) -> Result<(), HostError> {
        self.host.terminate(pid)
    }

    fn kill(&self, service: &Definition, pid: u32) -> Result<(), HostError> {
        self.host.kill(service, pid)
    }

    async fn sweep(&self, service: &Definition) -> Result<(), HostError> {
        self.host.sweep(service).await
    }

    async fn check(&self, service: &Definition, check: &Check) -> Result<(), String> {
        self.host.check(service, check).await
    }

    fn memory(&self, service: &Definition) -> Option<u64> {
        self.host.memory(service)
    }

    fn written(&self, service: &Definition) -> Option<Written> {
        self.host.written(service)
    }

    fn rights(&self, pid: u32) -> Option<Rights> {
        self.host.rights(pid)
    }

    fn cgroup(&self, service: &Definition) -> String {
        self.host.cgroup(service)
    }
}
