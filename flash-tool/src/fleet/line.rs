//! Runs the writers: a thread for each card, and one place that hands out rows, files receipts and says what happens.

use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, Scope};
use std::time::{Duration, Instant, SystemTime};

use manifest::Digest;

use super::configs::Entry;
use super::error::FleetError;
use super::ledger::Ledger;
use super::readers::{Card, Readers, card_in};
use super::receipt::{self, Kind, Receipt, utc};
use super::shop::{Job, Shop};
use super::start::assign_to;
use super::tell::{Event, Sum, Teller};
use crate::interrupt;
use crate::pieces::frames;
use crate::plan::Plan;
use crate::program::chain;
use crate::report::Report;
use crate::run::FlashError;
use crate::safety::caution;
use crate::target::Target;
use crate::watch::{Stage, Watch};

/// How often readers are looked at for another card.
const POLL: Duration = Duration::from_millis(500);

/// What a writer says.
enum Message {
    Stage(Stage, u64),
    Advance(u64),
    Done(Box<Result<Report, FlashError>>),
}

/// The way from a writer to whoever listens.
struct Wire {
    card: usize,
    to: Sender<(usize, Message)>,
    /// What is said at the end, however it comes.
    result: Result<Report, FlashError>,
}

impl Watch for Wire {
    fn stage(&mut self, stage: Stage, bytes: u64) {
        self.send(Message::Stage(stage, bytes));
    }

    fn advance(&mut self, bytes: u64) {
        self.send(Message::Advance(bytes));
    }
}

impl Wire {
    fn end_with(&mut self, result: Result<Report, FlashError>) {
        self.result = result;
    }

    fn send(&self, message: Message) {
        // Whoever listens does so until the last writer has ended.
        let _ = self.to.send((self.card, message));
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let result = std::mem::replace(&mut self.result, Err(FleetError::Crashed.into()));
        self.send(Message::Done(Box::new(result)));
    }
}

/// The rows, the cards that are being written, and what became of the others.
pub(super) struct Line<'a, R> {
    shop: &'a Shop<'a, R>,
    ledger: Ledger,
    teller: Teller,
    readers: Readers,
    /// Rows without a card, in order.
    open: Vec<usize>,
    /// Every card so far, by its number; none once it has ended.
    cards: Vec<Option<Arc<Job>>>,
    sum: Sum,
    /// Why no further row is handed out.
    broken: Option<FleetError>,
}

impl<'a, R: Read + Seek + Send> Line<'a, R> {
    pub fn new(
        shop: &'a Shop<'a, R>,
        ledger: Ledger,
        teller: Teller,
        readers: Readers,
        open: Vec<usize>,
    ) -> Self {
        Self {
            shop,
            ledger,
            teller,
            readers,
            open,
            cards: Vec::new(),
            sum: Sum::default(),
            broken: None,
        }
    }

    /// Writes these cards, and where readers are watched those that are put into them, until all rows are used.
    pub fn run(
        mut self,
        jobs: Vec<Job>,
        watched: Option<Box<dyn Fn() -> Vec<PathBuf> + '_>>,
    ) -> Result<(), FlashError> {
        let (to, from) = channel();
        thread::scope(|scope| {
            self.start(scope, jobs, &to);
            self.listen(scope, &to, &from, watched.as_deref());
        });
        self.sum.left = self.open.len();
        self.sum.frames = self.shop.unpacker.frames();
        self.sum.unpacked = self.shop.unpacker.unpacked();
        let (sum, broken) = (self.sum, self.broken);
        let lost = self.teller.end(sum);
        if let Some(error) = broken {
            return Err(error.into());
        }
        if sum.failed > 0 && (watched.is_none() || sum.left > 0) {
            let all = sum.failed + sum.flashed;
            return Err(FleetError::Failed {
                failed: sum.failed,
                all,
            }
            .into());
        }
        lost.map_or(Ok(()), |lost| Err(FlashError::PrintReport(lost)))
    }

    /// Starts the writers of cards that are there at the same time: they share one pass over the bundle.
    fn start<'scope>(
        &mut self,
        scope: &'scope Scope<'scope, '_>,
        jobs: Vec<Job>,
        to: &Sender<(usize, Message)>,
    ) where
        'a: 'scope,
    {
        let shop = self.shop;
        let joined: Vec<_> = jobs
            .into_iter()
            .map(|job| {
                let share = shop.unpacker.join(&frames(&job.plan));
                (job, share)
            })
            .collect();
        for (job, share) in joined {
            let job = Arc::new(job);
            let mut wire = Wire {
                card: self.cards.len(),
                to: to.clone(),
                result: Err(FleetError::Crashed.into()),
            };
            self.cards.push(Some(job.clone()));
            scope.spawn(move || {
                let result = shop.write(&job, share, &mut wire);
                wire.end_with(result);
            });
        }
    }

    /// Listens to the writers until the last one has ended and nothing is waited for.
    fn listen<'scope>(
        &mut self,
        scope: &'scope Scope<'scope, '_>,
        to: &Sender<(usize, Message)>,
        from: &Receiver<(usize, Message)>,
        watched: Option<&dyn Fn() -> Vec<PathBuf>>,
    ) where
        'a: 'scope,
    {
        let mut polled = Instant::now();
        loop {
            let waits = watched.is_some() && !self.open.is_empty() && self.broken.is_none();
            if !waits && self.cards.iter().all(Option::is_none) {
                return;
            }
            match from.recv_timeout(POLL) {
                Ok((card, message)) => self.hear(card, message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if let Some(watched) = watched.filter(|_| waits && polled.elapsed() >= POLL) {
                let jobs = self.look(&watched());
                self.start(scope, jobs, to);
                polled = Instant::now();
            }
        }
    }

    fn hear(&mut self, card: usize, message: Message) {
        let Some(job) = self.cards[card].clone() else {
            return;
        };
        let row = &self.shop.entries[job.row].row;
        match message {
            Message::Stage(stage, bytes) => {
                let path = job.target.path();
                interrupt::reached(path, stage);
                self.teller.stage(card, &row.hostname, path, stage, bytes);
            }
            Message::Advance(bytes) => self.teller.advance(card, bytes),
            Message::Done(result) => {
                interrupt::left(job.target.path());
                self.cards[card] = None;
                self.finish(card, &job, *result);
            }
        }
    }

    /// Files the receipt of a card, or gives its row back.
    fn finish(&mut self, card: usize, job: &Job, result: Result<Report, FlashError>) {
        let entry = &self.shop.entries[job.row];
        let (row, target) = (&entry.row, &job.target);
        let report = match result {
            Ok(report) => report,
            Err(error) => {
                self.sum.failed += 1;
                self.open.push(job.row);
                self.open.sort_unstable();
                return self
                    .teller
                    .failed(card, &row.hostname, target.path(), &chain(&error));
            }
        };
        let receipt = receipt_of(entry, target, &job.plan, &report);
        match self.ledger.file(receipt.clone()) {
            Ok(filed) => {
                self.sum.flashed += 1;
                self.teller
                    .flashed(card, row, target, (&receipt, &filed, &report));
            }
            Err(error) => {
                // The card is good, but another run would flash its row again: a second card with this name.
                self.sum.failed += 1;
                let text = format!(
                    "the card is good, but its row is not marked as done: {}",
                    chain(&error)
                );
                self.teller.failed(card, &row.hostname, target.path(), &text);
                self.broken.get_or_insert(error);
            }
        }
    }

    /// Looks for cards that were put into readers, and gives each the next row that fits.
    fn look(&mut self, readers: &[PathBuf]) -> Vec<Job> {
        let mut targets = Vec::new();
        for path in readers {
            let busy = |job: &Arc<Job>| job.target.path() == path;
            if self.cards.iter().flatten().any(busy) {
                continue;
            }
            let disk = card_in(self.shop.host, path);
            let card = disk.as_ref().map(Card::of);
            let Some(card) = card.filter(|card| self.readers.is_new(path, Some(card))) else {
                if disk.is_none() {
                    self.readers.is_new(path, None);
                }
                continue;
            };
            match self.shop.inspect(path) {
                Ok(Target::Disk(disk)) if caution(&disk).is_none() => targets.push(Target::Disk(disk)),
                Ok(_) => self.leave(
                    path,
                    card,
                    "it is built in or very large: a fleet is flashed to cards",
                ),
                // Another poll may find it unmounted.
                Err(error) => self.leave(path, card, &chain(&error)),
            }
        }
        let given = assign_to(self.shop.entries, &self.open, &targets);
        let mut jobs = Vec::new();
        for (target, row) in targets.into_iter().zip(given) {
            let Target::Disk(disk) = &target else { continue };
            let (path, card) = (target.path().to_owned(), Card::of(disk));
            let Some(row) = row else {
                self.leave(&path, card, "no row is for this card");
                continue;
            };
            let entry = &self.shop.entries[row];
            self.teller.event(&Event::Assigned {
                hostname: &entry.row.hostname,
                target: &target,
                config: entry.config.summary(),
                labels: &entry.row.labels,
            });
            match self.shop.job(row, target) {
                Ok(job) => {
                    self.readers.handle(&path, card);
                    self.open.retain(|open| *open != row);
                    jobs.push(job);
                }
                Err(error) => self.leave(&path, card, &chain(&error)),
            }
        }
        jobs
    }

    /// Says once why a card gets no row now.
    fn leave(&mut self, path: &Path, card: Card, why: &str) {
        if self.readers.may_say(path, card, why) {
            self.teller.unused(path, why);
        }
    }
}

fn receipt_of(entry: &Entry, target: &Target, plan: &Plan, report: &Report) -> Receipt {
    let (model, serial, port) = match target {
        Target::Disk(disk) => (disk.model.clone(), disk.serial.clone(), disk.port.clone()),
        Target::File(_) => (None, None, None),
    };
    Receipt {
        kind: Kind,
        time: utc(SystemTime::now()),
        hostname: entry.row.hostname.clone(),
        labels: entry.row.labels.clone(),
        card: receipt::Card {
            target: target.path().display().to_string(),
            model,
            serial,
            port,
            bytes: target.size(),
        },
        board: report.release.board.clone(),
        version: report.release.version.clone(),
        manifest: report.release.manifest.clone(),
        root_hash: plan.manifest.slot.verity.root_hash,
        config: Digest::of(entry.config.yaml().as_bytes()),
        disk: report.disk.clone(),
    }
}
