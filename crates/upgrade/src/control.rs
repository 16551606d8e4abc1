//! What whoever waits for an upgrade sees of it, and how it is stopped.

use std::ops::ControlFlow;

use crate::Error;

/// What an upgrade is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Looking at what the target slot holds already. Counts bytes of the slot.
    Survey,
    /// Fetching and writing. Counts bytes to fetch.
    Fetch,
    /// Reading the target slot back. Counts bytes of the slot.
    Verify,
}

/// How far an upgrade is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub stage: Stage,
    /// Bytes done of this stage.
    pub done: u64,
    /// Bytes of this stage in all.
    pub total: u64,
    /// Bytes fetched so far, with what finding out took.
    pub fetched: u64,
    /// Bytes written so far.
    pub written: u64,
    /// Bytes that were on the medium already.
    pub equal: u64,
}

/// Is told how far an upgrade is, a few times for each MiB; may slow it down by taking its time, or stop it.
pub trait Control {
    /// Takes note. `Break` stops the upgrade; what was written stays, and the next run goes on from there.
    fn advance(&mut self, progress: Progress) -> ControlFlow<()>;
}

impl<F: FnMut(Progress) -> ControlFlow<()>> Control for F {
    fn advance(&mut self, progress: Progress) -> ControlFlow<()> {
        self(progress)
    }
}

/// Keeps count, and passes it on.
pub(crate) struct Counter<'a> {
    control: &'a mut dyn Control,
    progress: Progress,
}

impl<'a> Counter<'a> {
    /// Starts at nothing.
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

    /// Takes over what the writer counted.
    pub fn tally(&mut self, tally: medium::Tally) -> Result<(), Error> {
        (self.progress.written, self.progress.equal) = (tally.written, tally.equal);
        self.pass_on()
    }

    /// Returns what was counted.
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
