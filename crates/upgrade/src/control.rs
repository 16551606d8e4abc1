//! Progress of an upgrade, and how it is stopped.

use std::ops::ControlFlow;

use crate::Error;

/// What an upgrade is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Reading what the target slot already holds. Counts bytes of the slot.
    Survey,
    /// Fetching and writing. Counts bytes to fetch.
    Fetch,
    /// Reading the target slot back. Counts bytes of the slot.
    Verify,
}

/// How far an upgrade is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The current stage.
    pub stage: Stage,
    /// Bytes of this stage that are done.
    pub done: u64,
    /// Total bytes of this stage.
    pub total: u64,
    /// Bytes fetched so far, including those for planning.
    pub fetched: u64,
    /// Bytes written so far.
    pub written: u64,
    /// Bytes found to be on the medium already, and not written again.
    pub equal: u64,
}

/// Observes the progress of an upgrade, several times per MiB. It may slow the upgrade down by blocking, or stop it.
pub trait Control {
    /// Receives the progress. `Break` stops the upgrade; what was written stays, and the next run continues from there.
    fn advance(&mut self, progress: Progress) -> ControlFlow<()>;
}

impl<F: FnMut(Progress) -> ControlFlow<()>> Control for F {
    fn advance(&mut self, progress: Progress) -> ControlFlow<()> {
        self(progress)
    }
}

/// Counts bytes and reports them to the control.
pub(crate) struct Counter<'a> {
    control: &'a mut dyn Control,
    progress: Progress,
}

impl<'a> Counter<'a> {
    /// Starts with all counters at zero.
    pub fn new(control: &'a mut dyn Control) -> Self {
        Counter {
            control,
            progress: Progress {
                stage: Stage::Survey,
                done: 0,
                total: 0,
                fetched: 0,
                written: 0,
                equal: 0,
            },
        }
    }

    /// Begins a stage.
    pub fn stage(&mut self, stage: Stage, total: u64) -> Result<(), Error> {
        (self.progress.stage, self.progress.done, self.progress.total) = (stage, 0, total);
        self.pass_on()
    }

    /// Counts bytes of the stage.
    pub fn done(&mut self, bytes: u64) -> Result<(), Error> {
        self.progress.done += bytes;
        self.pass_on()
    }

    /// Counts fetched bytes; they are also what the fetching stage counts.
    pub fn fetched(&mut self, bytes: u64) -> Result<(), Error> {
        self.progress.fetched += bytes;
        if self.progress.stage == Stage::Fetch {
            self.progress.done += bytes;
        }
        self.pass_on()
    }

    /// Takes over the writer's counters.
    pub fn tally(&mut self, tally: medium::Tally) -> Result<(), Error> {
        (self.progress.written, self.progress.equal) = (tally.written, tally.equal);
        self.pass_on()
    }

    /// Returns the counters.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    fn pass_on(&mut self) -> Result<(), Error> {
        match self.control.advance(self.progress) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Stopped),
        }
    }
}
