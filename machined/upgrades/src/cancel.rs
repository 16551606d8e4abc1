//! Cancels an upgrade before the restart, and rolls back to the previous system.

use std::sync::atomic::Ordering;

use backend::BackendError;
use state::chain;
use state::kinds::upgrade::Stage;
use state::tasks::caught;

use super::error::Error;
use super::handle::{NAME, UpgradeHandle, blocking, refused};
use super::history::{Entry, Outcome};
use super::{arm, rollback};

impl UpgradeHandle {
    /// Ends the upgrade that runs, waits or is armed.
    pub(super) async fn cancel_open(&self) -> Result<String, BackendError> {
        let waiting = {
            let current = self.shared.current.lock().await;
            current
                .as_ref()
                .filter(|running| !*running.done.borrow())
                .map(|running| {
                    running.cancelled.store(true, Ordering::Relaxed);
                    running.stop.store(true, Ordering::Relaxed);
                    (running.id.clone(), running.done.clone())
                })
        };
        if let Some((id, mut done)) = waiting {
            // The sender keeps the receiver alive until it is done.
            let _gone = done.wait_for(|done| *done).await;
            if self.shared.published.status().stage == Stage::Idle {
                return Ok(id);
            }
        }
        // It may have finished in the meantime.
        let _nobody_begins = self.shared.current.lock().await;
        if self.shared.context.power.requested().is_some() {
            return Err(BackendError::Refused("the node is already restarting".to_owned()));
        }
        let open = self.shared.history.open_entry();
        let system = self.system().await.map_err(refused)?;
        if open.is_none() && !system.is_armed() {
            return Err(BackendError::Refused(
                "no upgrade is running, waiting or armed".to_owned(),
            ));
        }
        if system.is_armed() {
            let disarmed = blocking(move || arm::disarm(&system))
                .await
                .and_then(|disarmed| disarmed);
            disarmed.map_err(|error| BackendError::Internal(chain(&error)))?;
        }
        let entry = open.unwrap_or_default();
        let id = entry.id.clone();
        self.end(entry, id.is_empty(), Outcome::Cancelled, "it was cancelled")
            .await;
        Ok(id)
    }

    /// Makes the loader start the other slot, and restarts.
    pub(super) async fn roll_back(&self) -> Result<String, BackendError> {
        let current = self.shared.current.lock().await;
        self.check_free(&current)?;
        self.check_waiting(None)?;
        let system = self.system().await.map_err(refused)?;
        if system.is_armed() {
            return Err(BackendError::Refused(
                "an upgrade is armed: cancel it with `bedplate upgrade cancel` first".to_owned(),
            ));
        }
        let looked = system.clone();
        let found = blocking(move || rollback::prepare(&looked))
            .await
            .and_then(|found| found);
        let found = found.map_err(refused)?;
        let (record, before) = (system.places.record(), system.loaded);
        let written = blocking(move || record.write(&before, &found.record).map_err(Error::WriteRecord));
        let written = written.await.and_then(|written| written);
        written.map_err(|error| BackendError::Internal(chain(&error)))?;

        // Neither the system on trial nor an interrupted upgrade is wanted: left open, it would be resumed after the restart.
        let running = system.release.id();
        for mut open in self.shared.history.open_entries() {
            let outcome = match open.manifest == running {
                true => Outcome::RolledBack,
                false => Outcome::Cancelled,
            };
            open.end(
                outcome,
                "a rollback to the previous system was requested",
                self.now_ms(),
            );
            self.write_down(open).await;
        }
        let version = found.release.manifest.version.to_string();
        let mut entry = Entry {
            id: uuid::Uuid::new_v4().simple().to_string()[..12].to_owned(),
            from: system.release.manifest.version.to_string(),
            to: version.clone(),
            manifest: found.release.id(),
            slot: Some(system.target()),
            started_ms: self.now_ms(),
            stage: Stage::Rebooting,
            ..Entry::default()
        };
        entry.end(
            Outcome::RolledBack,
            "a rollback to the previous system was requested",
            self.now_ms(),
        );
        self.write_down(entry).await;
        self.shared
            .context
            .events
            .info(NAME, format!("rolling back to {version}, as requested"));
        let handle = self.clone();
        tokio::spawn(async move {
            if let Err(reason) = caught(handle.restart()).await {
                let events = &handle.shared.context.events;
                events.error(
                    NAME,
                    format!("the restart for the rollback {reason}; run `bedplate reboot`"),
                );
            }
        });
        Ok(version)
    }
}
