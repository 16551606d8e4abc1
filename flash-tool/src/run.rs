//! The flash command, from the command line to the last line printed.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use bundle::Reader;
use layout::Guids;
use manifest::TrustedKey;
use stdio::Lost;
use uuid::Uuid;

use crate::args::{Args, Command, Output};
use crate::ask::{Consent, Refused, Terminal, consent};
use crate::bars::Bars;
use crate::check::check;
use crate::config::{ConfigError, Injected};
use crate::contents::Contents;
use crate::error::ApplyError;
use crate::firmware::{FirmwareError, with_lines};
use crate::fleet::FleetError;
use crate::host::{Disk, Host};
use crate::interrupt::{Noted, listen};
use crate::keep::KeepError;
use crate::keys::{self, KeysError};
use crate::plan::{BundleFacts, Options, Plan, PlanError, plan};
use crate::report::Report;
use crate::safety::caution;
use crate::show::{DiskView, Outcome, PlanView, disks_text, judge, report_text};
use crate::target::{Requirements, Target, TargetError};

/// Why nothing was flashed, or a flash failed.
#[derive(Debug, thiserror::Error)]
pub enum FlashError {
    /// There is no key.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The bundle cannot be opened.
    #[error("cannot open the bundle {}", .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The bundle is damaged, or cannot be trusted.
    #[error("{} is not flashed", .path.display())]
    Bundle {
        /// The file.
        path: PathBuf,
        /// Why.
        source: bundle::Error,
    },
    /// The machine config has faults.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Lines of the machine config cannot be written for the firmware.
    #[error(transparent)]
    Firmware(#[from] FirmwareError),
    /// The bundle does not fit.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The target must not be written to.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The user did not consent.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The flash failed.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The node on the disk cannot be kept.
    #[error(transparent)]
    Keep(#[from] KeepError),
    /// The fleet cannot be flashed, or not as a whole.
    #[error(transparent)]
    Fleet(#[from] FleetError),
    /// Nobody would be told what an interruption leaves behind.
    #[error("cannot catch signals")]
    Signals(#[source] io::Error),
    /// The disks cannot be listed.
    #[error("cannot list the disks")]
    List(#[source] io::Error),
    /// The result cannot be written as JSON.
    #[error("cannot write the result as JSON")]
    Json(#[from] serde_json::Error),
    /// The list or plan cannot be printed.
    #[error("the answer is lost")]
    Print(#[source] Lost),
    /// The flash is complete, and only its report cannot be printed.
    #[error("the flash is complete and good, only its report is lost")]
    PrintReport(#[source] Lost),
}

impl Args {
    /// Executes the command line.
    pub fn run(self) -> Result<(), FlashError> {
        let host = Host::default();
        match (&self.command, &self.bundle, &self.target) {
            (Some(Command::List), _, _) => self.list(&host),
            (None, Some(bundle), target) => match (&self.fleet.fleet, target) {
                (Some(fleet), _) => self.flash_fleet(&host, bundle, fleet),
                (None, Some(target)) if self.keep.is_any() => self.reflash(&host, bundle, target),
                (None, Some(target)) => self.flash(&host, bundle, target),
                (None, None) => unreachable!("a target is a required argument without a fleet"),
            },
            (None, None, _) => unreachable!("the bundle is a required argument"),
        }
    }

    fn list(&self, host: &Host) -> Result<(), FlashError> {
        let keys = match self.keys.as_slice() {
            [] => Vec::new(),
            given => keys::load(given)?,
        };
        let disks = host.disks().map_err(FlashError::List)?;
        let disks = disks.into_iter().map(|disk| {
            let contents = contents_of(host, &disk, &keys);
            judge(disk, contents)
        });
        let disks: Vec<DiskView> = disks.collect();
        let text = match self.output {
            Output::Text => disks_text(&disks),
            Output::Json => serde_json::to_string_pretty(&disks)? + "\n",
        };
        stdio::print(text).map_err(FlashError::Print)
    }

    fn flash(&self, host: &Host, path: &Path, target: &Path) -> Result<(), FlashError> {
        // Everything that can be refused is refused before the target is opened.
        let keys = keys::load(&self.keys)?;
        let mut bundle = open(path, &keys)?;
        let facts = BundleFacts::of(&bundle);
        let config = self
            .config
            .as_ref()
            .map(|file| Injected::load(file, &self.overrides()))
            .transpose()?;
        let lines = config.as_ref().map(Injected::firmware).unwrap_or_default();
        let facts = facts.with_esp(with_lines(&mut bundle, lines)?);
        let inputs = self
            .keys
            .iter()
            .chain(&self.config)
            .map(PathBuf::as_path)
            .chain([path])
            .collect::<Vec<_>>();
        let needed = facts.least().map_err(PlanError::from)?;
        let required = Requirements {
            needed,
            size: self.size,
            inputs: &inputs,
            private: config.is_some(),
        };
        let target = Target::inspect(host, target, &required)?;

        // Random, so that two disks in one machine are distinguishable.
        let guids = Guids::from_seed(Uuid::new_v4().as_bytes());
        let plan = plan(
            &facts,
            target.size(),
            Options {
                guids,
                config,
                discard: self.discard,
            },
        )?;
        let loses = match &target {
            Target::Disk(disk) => contents_of(host, disk, &keys).ok(),
            Target::File(_) => None,
        };
        let view = PlanView::new(&plan, &target, loses.as_ref());
        stdio::ask(view.text());
        let report = if self.dry_run {
            None
        } else {
            Some(self.write(host, &plan, &mut bundle, &target)?)
        };
        let text = match (self.output, &report) {
            (Output::Json, report) => serde_json::to_string_pretty(&Outcome {
                plan: view,
                report: report.as_ref(),
            })?,
            (Output::Text, Some(report)) => report_text(report, &target),
            (Output::Text, None) => "dry run: nothing was written".to_owned(),
        };
        stdio::line(text).map_err(match report {
            Some(_) => FlashError::PrintReport,
            None => FlashError::Print,
        })
    }

    fn write<R: io::Read + io::Seek + Send>(
        &self,
        host: &Host,
        plan: &Plan,
        bundle: &mut Reader<R>,
        target: &Target,
    ) -> Result<Report, FlashError> {
        let wary = match target {
            Target::Disk(disk) => caution(disk),
            Target::File(_) => None,
        };
        let said = Consent {
            yes: self.yes,
            allow_fixed: self.allow_fixed.clone(),
        };
        consent(
            &target.path().display().to_string(),
            "Everything",
            wary.as_ref(),
            &said,
            &mut Terminal,
        )?;
        listen().map_err(FlashError::Signals)?;
        let mut bars = Bars::new(self.progress);
        let mut noted = Noted::new(target.path(), &mut bars);
        let checked = check(plan, bundle, &mut noted)?;
        let mut medium = target.open(host)?;
        let report = checked.write(&mut medium, &mut noted)?;
        drop(noted);
        bars.end();
        if matches!(target, Target::Disk(_)) {
            // The disk is good either way: this only lets the host show its partitions without a replug.
            let _ = sys::block::reread_partitions(medium.file());
        }
        Ok(report)
    }
}

/// Opens a bundle.
pub(crate) fn open(path: &Path, keys: &[TrustedKey]) -> Result<Reader<BufReader<File>>, FlashError> {
    let file = File::open(path).map_err(|source| FlashError::Open {
        path: path.into(),
        source,
    })?;
    Reader::open(BufReader::new(file), keys).map_err(|source| FlashError::Bundle {
        path: path.into(),
        source,
    })
}

/// Reads what is on a disk.
pub(crate) fn contents_of(host: &Host, disk: &Disk, keys: &[TrustedKey]) -> io::Result<Contents> {
    let file = File::open(&disk.path)?;
    Contents::read(&file, disk.size, &host.partitions_of(disk), keys)
}
