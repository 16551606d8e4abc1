//! From the command line to the first writer: all that can be refused is refused here, before anything is written.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use bundle::Reader;
use layout::Guids;
use machine_config::value::HostName;
use signing::SecretKey;

use super::assign::{Facts, assign};
use super::configs::{self, Entry};
use super::document::{self, Wants};
use super::error::FleetError;
use super::ledger::Ledger;
use super::line::Line;
use super::readers::{Card, Readers, all_cards};
use super::shop::Shop;
use super::tell::{Event, Sum, Teller};
use super::unpack::Unpacker;
use crate::args::Args;
use crate::ask::{Consent, Terminal, consent};
use crate::bars::Bars;
use crate::check::check;
use crate::firmware::with_lines;
use crate::host::Host;
use crate::interrupt::listen;
use crate::pieces::frames;
use crate::plan::{BundleFacts, Options, Plan, PlanError, plan};
use crate::run::{FlashError, open};
use crate::safety::{Caution, Refusal, caution};
use crate::show::{config_text, release_text, target_text};
use crate::target::{Target, TargetError};

/// The kernel's error for a reader without a card.
const ENOMEDIUM: i32 = 123;

impl Args {
    /// Flashes a fleet.
    pub(crate) fn flash_fleet(&self, host: &Host, path: &Path, file: &Path) -> Result<(), FlashError> {
        let keys = crate::keys::load(&self.keys)?;
        let mut bundle = open(path, &keys)?;
        let facts = BundleFacts::of(&bundle);
        let fleet = load(file)?;
        let ledger = self.fleet.ledger.clone();
        let ledger = ledger.unwrap_or_else(|| file.with_extension("ledger"));
        let mut inputs = configs::inputs(file, &fleet);
        inputs.extend([path.to_owned(), ledger.clone()]);
        inputs.extend(self.keys.iter().chain(&self.config).cloned());
        inputs.extend(self.fleet.receipt_key.clone());
        let entries = configs::entries(file, fleet, self.config.as_deref())?;
        check_lines(&mut bundle, &entries)?;
        let least = plan_least(&facts)?;
        let key = match &self.fleet.receipt_key {
            Some(file) => {
                let key = SecretKey::load(file, || signing::password(file));
                Some(key.map_err(FleetError::from)?)
            }
            None => None,
        };
        let ledger = Ledger::open(&ledger, key, self.dry_run)?;
        let to_do = self.to_do(file, &entries, &ledger)?;

        let shop = Shop {
            host,
            entries: &entries,
            unpacker: Unpacker::new(bundle, frames(&least)),
            needed: facts.least().map_err(PlanError::from)?,
            facts,
            size: self.size,
            discard: self.discard,
            inputs: &inputs,
        };
        let mut teller = Teller::new(self.output, self.progress);
        teller.note(self.summary(file, &shop, &ledger, &to_do));
        for entry in &entries {
            if let Some(receipt) = ledger.receipt(&entry.row.hostname) {
                let hostname = &entry.row.hostname;
                teller.event(&Event::Done { hostname, receipt });
            }
        }
        let mut readers = Readers::default();
        let targets = match to_do.is_empty() {
            true => Vec::new(),
            false => self.targets(&shop, &mut readers, &mut teller)?,
        };
        let given = assign_to(&entries, &to_do, &targets);
        let (mut jobs, mut open_rows) = (Vec::new(), to_do);
        for (target, row) in targets.into_iter().zip(given) {
            let Some(row) = row else {
                teller.unused(target.path(), "no row is left for it");
                continue;
            };
            let entry = &entries[row];
            teller.note(assigned_text(entry, &target, &keys, host));
            teller.event(&Event::Assigned {
                hostname: &entry.row.hostname,
                target: &target,
                config: entry.config.summary(),
                labels: &entry.row.labels,
            });
            open_rows.retain(|open| *open != row);
            jobs.push(shop.job(row, target)?);
        }
        for row in &open_rows {
            let Wants { serial, port } = &entries[*row].row.wants;
            teller.note(waiting_text(&entries[*row]));
            teller.event(&Event::Waiting {
                hostname: &entries[*row].row.hostname,
                serial: serial.as_deref(),
                port: port.as_deref(),
            });
        }
        let waits = self.fleet.watch && !open_rows.is_empty();
        if self.dry_run || jobs.is_empty() && !waits {
            if self.dry_run {
                teller.note("dry run: nothing was written");
            }
            let sum = Sum {
                left: jobs.len() + open_rows.len(),
                ..Default::default()
            };
            return match teller.end(sum) {
                None => Ok(()),
                Some(lost) => Err(FlashError::Print(lost)),
            };
        }
        let targets: Vec<&Path> = jobs.iter().map(|job| job.target.path()).collect();
        let said = Consent {
            yes: self.yes,
            allow_fixed: None,
        };
        consent(
            &self.loses(&targets, waits),
            "Everything",
            None,
            &said,
            &mut Terminal,
        )?;
        listen().map_err(FlashError::Signals)?;
        let mut bars = Bars::new(self.progress);
        shop.unpacker
            .with_bundle(|bundle| check(&least, bundle, &mut bars).map(drop))?;
        bars.end();
        let watched = waits.then(|| self.readers(host));
        let line = Line::new(&shop, ledger, teller, readers, open_rows);
        line.run(jobs, watched)
    }

    /// Returns the rows that are to be flashed.
    fn to_do(&self, file: &Path, entries: &[Entry], ledger: &Ledger) -> Result<Vec<usize>, FleetError> {
        let same = |a: &HostName, b: &HostName| a.as_str().eq_ignore_ascii_case(b.as_str());
        let names = || entries.iter().map(|entry| &entry.row.hostname);
        for hostname in &self.fleet.redo {
            if !names().any(|name| same(name, hostname)) {
                return Err(FleetError::NoSuchRow {
                    path: file.into(),
                    hostname: hostname.clone(),
                    known: names().cloned().collect(),
                });
            }
        }
        let is_open = |name: &HostName| {
            ledger.receipt(name).is_none() || self.fleet.redo.iter().any(|redo| same(redo, name))
        };
        let rows = names().enumerate().filter(|(_, name)| is_open(name));
        Ok(rows.map(|(row, _)| row).collect())
    }

    /// Returns what finds the readers again and again.
    fn readers<'a>(&self, host: &'a Host) -> Box<dyn Fn() -> Vec<PathBuf> + 'a> {
        if self.fleet.all_cards {
            // What cannot be listed now is listed at the next poll.
            return Box::new(|| all_cards(host).unwrap_or_default());
        }
        let named = self.named();
        Box::new(move || named.clone())
    }

    /// Returns the targets that were named.
    fn named(&self) -> Vec<PathBuf> {
        self.target.iter().chain(&self.more).cloned().collect()
    }

    /// Inspects the targets. A named one that cannot be flashed ends the run; a reader may be empty while it is watched.
    fn targets<R: Read + Seek + Send>(
        &self,
        shop: &Shop<'_, R>,
        readers: &mut Readers,
        teller: &mut Teller,
    ) -> Result<Vec<Target>, FlashError> {
        let named = self.named();
        let paths = match (self.fleet.all_cards, named.is_empty()) {
            (true, _) => all_cards(shop.host).map_err(FlashError::List)?,
            (false, true) => return Err(FleetError::NoTarget.into()),
            (false, false) => named,
        };
        let mut targets: Vec<Target> = Vec::new();
        for path in paths {
            let target = match shop.inspect(&path) {
                Err(error) if self.fleet.watch && is_empty(&error) => {
                    teller.note(format_args!("{}: waits for a card", path.display()));
                    continue;
                }
                Err(error) if self.fleet.all_cards => {
                    teller.unused(&path, &crate::program::chain(&error));
                    continue;
                }
                inspected => inspected?,
            };
            if targets.iter().any(|other| is_same(other, &target)) {
                return Err(FleetError::TargetTwice { path }.into());
            }
            match &target {
                Target::Disk(disk) => {
                    if let Some(Caution { why, word }) = caution(disk) {
                        return Err(FleetError::Fixed { path, why, word }.into());
                    }
                    readers.handle(&path, Card::of(disk));
                }
                Target::File(_) if self.fleet.watch => return Err(FleetError::WatchesFile { path }.into()),
                Target::File(_) => {}
            }
            targets.push(target);
        }
        Ok(targets)
    }

    /// Says what is lost, for the question.
    fn loses(&self, targets: &[&Path], waits: bool) -> String {
        let mut all: Vec<String> = targets.iter().map(|path| path.display().to_string()).collect();
        if waits {
            let readers = match self.fleet.all_cards {
                true => "any USB or SD reader".to_owned(),
                false => {
                    let named = self.named();
                    let named: Vec<String> = named.iter().map(|path| path.display().to_string()).collect();
                    named.join(" or ")
                }
            };
            all.push(format!("each card that is then put into {readers}"));
        }
        all.join(", ")
    }

    /// Says what will be done.
    fn summary<R: Read + Seek + Send>(
        &self,
        file: &Path,
        shop: &Shop<'_, R>,
        ledger: &Ledger,
        to_do: &[usize],
    ) -> String {
        let rows = shop.entries.len();
        let signed = match ledger.signer() {
            Some(key) => format!("signed by {key}"),
            None => "not signed (give --receipt-key FILE to sign them)".to_owned(),
        };
        format!(
            "Bundle   {}\nFleet    {}: {rows} rows, {} done, {} to do\nReceipts {}, {signed}",
            release_text(&shop.release()),
            file.display(),
            rows - to_do.len(),
            to_do.len(),
            ledger.path().display(),
        )
    }
}

/// Reads a fleet's file.
fn load(path: &Path) -> Result<document::Fleet, FleetError> {
    let text = text::load(path, document::LIMIT).map_err(|source| FleetError::Read {
        path: path.into(),
        source,
    })?;
    document::parse(&text).map_err(|fault| FleetError::Faulty {
        path: path.into(),
        fault,
    })
}

/// Refuses lines for the firmware that the board's firmware cannot take, in any row.
fn check_lines(bundle: &mut Reader<BufReader<File>>, entries: &[Entry]) -> Result<(), FlashError> {
    let all: BTreeSet<&[String]> = entries.iter().map(|entry| entry.config.firmware()).collect();
    for lines in all {
        with_lines(bundle, lines)?;
    }
    Ok(())
}

/// Plans for the smallest card: what is checked, and the order of the frames, are the same for all.
fn plan_least(facts: &BundleFacts) -> Result<Plan, PlanError> {
    let options = Options {
        guids: Guids::from_seed(b"the order of the frames"),
        config: None,
        discard: false,
    };
    plan(facts, facts.least()?, options)
}

/// Returns the row of each target, if it gets one.
pub(super) fn assign_to(entries: &[Entry], rows: &[usize], targets: &[Target]) -> Vec<Option<usize>> {
    let rows: Vec<(usize, &Wants)> = rows.iter().map(|row| (*row, &entries[*row].row.wants)).collect();
    let facts = targets.iter().map(|target| match target {
        Target::Disk(disk) => Facts {
            serial: disk.serial.as_deref(),
            port: disk.port.as_deref(),
        },
        Target::File(_) => Facts::default(),
    });
    assign(&rows, &facts.collect::<Vec<_>>())
}

/// Returns true if a reader has no card, or is not there: it may have one later.
fn is_empty(error: &TargetError) -> bool {
    match error {
        TargetError::NoDevice { .. } => true,
        TargetError::Refused { reasons, .. } => reasons.contains(&Refusal::Empty),
        TargetError::Open { source, .. } => source.raw_os_error() == Some(ENOMEDIUM),
        _ => false,
    }
}

/// Returns true if two names lead to one disk, or to one file.
fn is_same(a: &Target, b: &Target) -> bool {
    match (a, b) {
        (Target::Disk(a), Target::Disk(b)) => a.number == b.number,
        (Target::File(a), Target::File(b)) => a.is_same(b),
        _ => false,
    }
}

fn assigned_text(entry: &Entry, target: &Target, keys: &[manifest::TrustedKey], host: &Host) -> String {
    let loses = match target {
        Target::Disk(disk) => crate::run::contents_of(host, disk, keys)
            .ok()
            .filter(|contents| !contents.is_empty()),
        Target::File(_) => None,
    };
    let loses = loses
        .map(|contents| format!("; loses {contents}"))
        .unwrap_or_default();
    format!(
        "{:<8} {} <- {}{loses}",
        entry.row.hostname.as_str(),
        target_text(target),
        config_text(entry.config.summary())
    )
}

fn waiting_text(entry: &Entry) -> String {
    let Wants { serial, port } = &entry.row.wants;
    let card = match (serial, port) {
        (None, None) => "a card".to_owned(),
        (Some(serial), None) => format!("the card with the serial number {serial}"),
        (None, Some(port)) => format!("a card in USB port {port}"),
        (Some(serial), Some(port)) => format!("the card with the serial number {serial} in USB port {port}"),
    };
    format!("{:<8} waits for {card}", entry.row.hostname.as_str())
}
