//! Compares the partition at each start.

use async_trait::async_trait;
use machine_config::MachineConfig;
use state::kinds::{FirmwareStatus, TrialStatus, Volume, VolumeStatus};
use state::{Action, Controller, ControllerError, Resource, Store};

use crate::handle::{FirmwareHandle, NAME, Request};

/// Compares the partition once STATE is there, and again when the machine config has other lines for the firmware or the
/// running release is kept: then the node may write.
///
/// Owner of [`FirmwareStatus`], together with the handle that repairs.
pub struct FirmwareWatch {
    handle: FirmwareHandle,
    /// What the last comparison was made for.
    compared: Option<Request>,
}

impl FirmwareWatch {
    /// Makes the controller.
    pub fn new(handle: FirmwareHandle) -> Self {
        FirmwareWatch {
            handle,
            compared: None,
        }
    }
}

#[async_trait]
impl Controller for FirmwareWatch {
    fn name(&self) -> &'static str {
        NAME
    }

    fn inputs(&self) -> &'static [&'static str] {
        &[MachineConfig::KIND, TrialStatus::KIND, VolumeStatus::KIND]
    }

    fn outputs(&self) -> &'static [&'static str] {
        &[FirmwareStatus::KIND]
    }

    async fn reconcile(&mut self, store: &Store) -> Result<Action, ControllerError> {
        let state: Option<VolumeStatus> = store.get(Volume::State.partition());
        if !state.is_some_and(|state| state.state.usable()) {
            return Ok(Action::WaitForChange);
        }
        let request = Request::of(store);
        if self.compared.as_ref() == Some(&request) {
            return Ok(Action::WaitForChange);
        }
        // What is wrong is reported as the node's health, also on the console.
        self.handle.check(&request).await?;
        self.compared = Some(request);
        Ok(Action::WaitForChange)
    }
}

#[cfg(test)]
mod tests;
