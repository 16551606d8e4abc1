//! Compares the partition at each start, and ends trials of firmware files.

use async_trait::async_trait;
use machine_config::MachineConfig;
use machine_config::v1alpha1::Health;
use node::power::{Power, Stop};
use state::kinds::{FirmwareStatus, FirmwareTrial, HealthStatus, NODE, TrialStatus, Volume, VolumeStatus};
use state::{Action, Controller, ControllerError, Resource, Store};
use sys::clock::Clock;

use crate::handle::{FirmwareHandle, NAME, Request};
use crate::verdict::{Verdict, judge};

/// Compares the partition once STATE is there, and again when the machine config has other lines for the firmware or the
/// running release is kept: then the node may write. Files that the node was started with on trial are kept when it is healthy;
/// otherwise it starts again, with the files before.
///
/// Owner of [`FirmwareStatus`], together with the handle that repairs.
pub struct FirmwareWatch {
    handle: FirmwareHandle,
    clock: Box<dyn Clock>,
    power: Power,
    /// What the last comparison was made for.
    compared: Option<Request>,
}

impl FirmwareWatch {
    /// Makes the controller.
    pub fn new(handle: FirmwareHandle, clock: Box<dyn Clock>, power: Power) -> Self {
        FirmwareWatch {
            handle,
            clock,
            power,
            compared: None,
        }
    }

    /// Decides on files that the node was started with on trial.
    async fn judge(&self, store: &Store, request: &Request) -> Result<Action, ControllerError> {
        let config: Option<MachineConfig> = store.get(NODE);
        let Health {
            commit_after,
            timeout,
            ..
        } = config.map(|config| config.machine.health).unwrap_or_default();
        let health: HealthStatus = store.get(NODE).unwrap_or_default();
        let now = self.clock.since_boot();
        match judge(now, health.keepable_since(), commit_after.into(), timeout.into()) {
            Verdict::Wait(until) => return Ok(Action::After(until.saturating_sub(now))),
            Verdict::Commit => self.handle.commit(request).await?,
            Verdict::TakeBack => {
                if self.power.request(Stop::Reboot) {
                    self.handle.report(
                        "the node was not healthy in time with the firmware files on trial: restarting",
                    );
                }
            }
        }
        Ok(Action::WaitForChange)
    }
}

#[async_trait]
impl Controller for FirmwareWatch {
    fn name(&self) -> &'static str {
        NAME
    }

    fn inputs(&self) -> &'static [&'static str] {
        &[
            HealthStatus::KIND,
            MachineConfig::KIND,
            TrialStatus::KIND,
            VolumeStatus::KIND,
        ]
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
        if self.compared.as_ref() != Some(&request) {
            // What is wrong is reported as the node's health, also on the console.
            self.handle.check(&request).await?;
            self.compared = Some(request.clone());
        }
        let status: FirmwareStatus = store.get(NODE).unwrap_or_default();
        // A system on trial is judged first: if it goes, so do the files.
        if status.trial != Some(FirmwareTrial::Running) || !request.settled {
            return Ok(Action::WaitForChange);
        }
        self.judge(store, &request).await
    }
}

#[cfg(test)]
mod tests;
