//! Drives an upgrade: the job, then what follows from its outcome.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use node::power::Stop;
use state::chain;
use state::kinds::upgrade::{Mode, Stage};

use super::arm;
use super::error::Error;
use super::handle::{NAME, UpgradeHandle, blocking};
use super::history::{Entry, Outcome};
use super::job::{Done, Job, JobError};

/// The timeout of everything that has to be done before a restart.
const BEFORE_REBOOT: Duration = Duration::from_secs(300);

impl UpgradeHandle {
    /// Runs a job, and does what follows from its outcome.
    pub(super) async fn drive(&self, job: Job, mut entry: Entry, stop: &AtomicBool, cancelled: &AtomicBool) {
        let power = self.shared.context.power.clone();
        let plan_only = job.plan_only;
        let work = on_a_thread(move || job.run());
        tokio::pin!(work);
        let ended = tokio::select! {
            ended = &mut work => ended,
            // Cancel safe. A node that stops does not wait for it: what was written stays, and it is resumed later.
            _ = power.wait() => {
                stop.store(true, Ordering::Relaxed);
                work.await
            }
        };
        let status = self.shared.published.status();
        entry.to.clone_from(&status.to_version);
        if !status.manifest.is_empty() {
            // Whatever its outcome: this records that a release was cancelled here.
            entry.manifest.clone_from(&status.manifest);
        }
        (entry.fetched, entry.written) = (status.fetched_bytes, status.written_bytes);
        if cancelled.load(Ordering::Relaxed) {
            return self
                .end(entry, plan_only, Outcome::Cancelled, "it was cancelled")
                .await;
        }
        match ended {
            Ok(Done::Planned) => self
                .shared
                .published
                .update(|status, _| status.stage = Stage::Idle),
            Ok(Done::Written { manifest }) => {
                entry.manifest = manifest;
                self.written(entry).await;
            }
            // The node stops.
            Err(JobError::Stopped) => {}
            Err(JobError::Failed(error)) => self.end(entry, plan_only, Outcome::Failed, &chain(&error)).await,
        }
    }

    /// Ends an upgrade that was not completed.
    pub(super) async fn end(&self, mut entry: Entry, plan_only: bool, outcome: Outcome, reason: &str) {
        entry.stage = self.shared.published.status().stage;
        if !plan_only {
            entry.end(outcome, reason, self.now_ms());
            self.write_down(entry).await;
        }
        let events = &self.shared.context.events;
        match outcome {
            Outcome::Cancelled => events.info(NAME, format!("the upgrade ended: {reason}")),
            _ => events.warning(NAME, format!("the upgrade ended: {reason}")),
        }
        self.shared.published.update(|status, _| {
            status.stage = if outcome == Outcome::Cancelled {
                Stage::Idle
            } else {
                Stage::Failed
            };
            status.reason = reason.to_owned();
            status.message.clear();
            status.eta_ms = 0;
        });
    }

    /// Continues a complete upgrade. One that a rollout started waits until its document has been read again:
    /// it may have been stopped since.
    async fn written(&self, mut entry: Entry) {
        if entry.mode == Mode::Window || entry.pin().is_some() {
            entry.stage = Stage::Waiting;
            self.write_down(entry.clone()).await;
            let what = match entry.mode {
                Mode::Window => "the maintenance window",
                Mode::Now | Mode::Staged => "a last poll of its rollout",
            };
            let said = format!("{} is written, and waits for {what}", entry.to);
            self.shared.context.events.info(NAME, said);
            return self.set_stage(Stage::Waiting);
        }
        self.arm(entry).await;
    }

    /// Puts the other slot on trial, and restarts if that is requested.
    ///
    /// It is recorded first: a power cut in between must not make the new system start an upgrade to itself.
    pub(super) async fn arm(&self, mut entry: Entry) {
        let restart = entry.mode != Mode::Staged;
        entry.stage = if restart { Stage::Rebooting } else { Stage::Armed };
        if let Err(error) = self.write_down_first(entry.clone()).await {
            return self.end(entry, false, Outcome::Failed, &chain(&error)).await;
        }
        let wanted = entry.clone();
        let armed = match self.system().await {
            Ok(system) => blocking(move || arm::arm(&system, &wanted)).await,
            Err(error) => Err(error),
        };
        if let Err(error) = armed.and_then(|armed| armed) {
            return self.end(entry, false, Outcome::Failed, &chain(&error)).await;
        }
        self.set_stage(entry.stage);
        let events = &self.shared.context.events;
        if restart {
            events.info(NAME, format!("restarting into {}", entry.to));
            self.restart().await;
        } else {
            events.info(NAME, format!("{} is armed: the next start tries it", entry.to));
        }
    }

    fn set_stage(&self, stage: Stage) {
        self.shared.published.update(|status, _| {
            (status.stage, status.eta_ms) = (stage, 0);
            status.message.clear();
        });
    }

    /// Restarts, once everything that has to be done before is done or has timed out.
    pub(super) async fn restart(&self) {
        for part in &self.shared.context.before {
            let done = tokio::time::timeout(BEFORE_REBOOT, part.prepare()).await;
            let failure = match done {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => chain(error.as_ref()),
                Err(_) => "it took too long".to_owned(),
            };
            self.shared
                .context
                .events
                .warning(NAME, format!("{} before the restart: {failure}", part.name()));
        }
        self.shared.context.power.request(Stop::Reboot);
    }
}

/// Runs a job on its own low-priority thread: the priority cannot be raised again, so the thread ends with the job.
async fn on_a_thread(
    work: impl FnOnce() -> Result<Done, JobError> + Send + 'static,
) -> Result<Done, JobError> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new()
        .name("upgrade".to_owned())
        .spawn(move || {
            // Nobody is waiting any more when the node stops.
            let _unheard = sender.send(work());
        });
    if let Err(error) = thread {
        return Err(JobError::Failed(Error::Thread(error)));
    }
    receiver
        .await
        .unwrap_or_else(|_| Err(JobError::Failed(Error::Panicked)))
}
