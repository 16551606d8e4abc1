//! Has files that differ tried by the firmware before they become its usual ones, on boards where it can.
//!
//! [`Case`] is one comparison, with what is to be done about it: [`decide`] says what, [`carry_out`] does it, each in an
//! order that a power cut cannot harm. Without a trial (another board, an old loader) files are written at once.

mod carry_out;
mod decide;

#[cfg(test)]
mod board;
#[cfg(test)]
mod power_cuts;
#[cfg(test)]
mod sample_release;

use firmware_files::{Content, Difference, Order, target_id, trial_files};
use firmware_trial::{Mailbox, Mark, Scope, Stage, Started};
use medium::Medium;
use state::kinds::FirmwareTrial;

pub(crate) use decide::Step;
use decide::{Facts, decide};

use crate::mark_file;
use crate::places::Places;
use crate::repair::{Changed, apply, by_itself, changes, plan};
use crate::survey::{Survey, SurveyError, Wanted, open};

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked<'a> {
    /// Nothing: the node writes what the machine config says.
    ByItself {
        /// The version that runs.
        running: &'a str,
        /// All files are renewed after an upgrade.
        renew: bool,
    },
    /// Somebody has the files repaired.
    Repair {
        /// Files that no release put there go, too.
        remove_unknown: bool,
        /// The files are written at once.
        without_trial: bool,
    },
}

/// A comparison, and what is to be done about it.
pub(crate) struct Case {
    /// What is done.
    pub step: Step,
    /// The files that differ.
    pub order: Order,
    /// Their changes.
    changes: Vec<Changed>,
    /// How they are tried.
    trial: Option<TrialSet>,
}

/// Files to be tried.
pub(crate) struct TrialSet {
    /// The mark that asks for it.
    pub mark: Mark,
    /// The files with their bytes; the configuration is the last.
    pub files: Vec<(String, Vec<u8>)>,
    /// Files of former trials.
    pub left_over: Vec<String>,
    /// What is removed without a trial.
    pub unknown: Vec<String>,
}

impl Case {
    /// Decides, by what the loader was asked.
    ///
    /// # Errors
    /// The files of the release cannot be read.
    pub(crate) fn of(
        places: &Places,
        wanted: &Wanted,
        found: &Survey,
        asked: Asked<'_>,
        started: Option<Started>,
    ) -> Result<Case, SurveyError> {
        let mark = match wanted.trial() {
            Some(_) => open(&places.bootstate, false).and_then(|mut medium| mark_file::read(&mut medium)),
            None => return Case::new(places, wanted, found, asked, None),
        };
        match mark {
            Ok(mark) => Case::new(places, wanted, found, asked, Some((started, mark))),
            // Without that, there is no trial.
            Err(error) => {
                tracing::warn!("{}", state::chain(&error));
                Case::new(places, wanted, found, asked, None)
            }
        }
    }

    /// Decides, given how the firmware was started and the mark; none where it cannot try files.
    ///
    /// # Errors
    /// The files of the release cannot be read.
    pub(crate) fn new(
        places: &Places,
        wanted: &Wanted,
        found: &Survey,
        asked: Asked<'_>,
        loader: Option<(Option<Started>, Option<Mark>)>,
    ) -> Result<Case, SurveyError> {
        let (started, mark) = loader.unwrap_or_default();
        let id = target_id(&wanted.files, &wanted.list.loader).0;
        let ours = mark.filter(|mark| mark.id == id);
        let order = order(wanted, found, asked, ours.as_ref());
        let trial = match loader {
            Some(_) => TrialSet::new(places, wanted, found, &order, id)?,
            None => None,
        };
        let is_set = |set: &TrialSet| set.files.iter().all(|file| is_there(found, file));
        let step = decide(Facts {
            started: started.filter(|_| trial.is_some()),
            stage: ours.map(|mark| mark.stage),
            differs: !order.write.is_empty() || !order.remove.is_empty(),
            news: order.write.iter().any(|path| is_news(wanted, found, path)),
            prepared: trial.as_ref().is_some_and(is_set),
            left_over: trial.is_some() && (mark.is_some() || !found.tried.is_empty()),
            asked: matches!(asked, Asked::Repair { .. }),
            at_once: matches!(
                asked,
                Asked::Repair {
                    without_trial: true,
                    ..
                }
            ),
        });
        Ok(Case {
            step,
            changes: changes(places, wanted, &order)?,
            order,
            trial,
        })
    }

    /// Does it; files on trial are committed.
    ///
    /// # Errors
    /// A medium fails, or the partition is full. Files are old or new then.
    pub(crate) fn carry_out(&self, places: &Places) -> Result<(), SurveyError> {
        let mut esp = open(&places.esp, true)?;
        if self.trial.is_none() {
            return apply(&mut esp, &self.changes);
        }
        self.carry_out_on(&mut esp, &mut open(&places.bootstate, true)?)
    }

    fn carry_out_on(&self, esp: &mut dyn Medium, bootstate: &mut dyn Medium) -> Result<(), SurveyError> {
        let Some(trial) = &self.trial else {
            return apply(esp, &self.changes);
        };
        match self.step {
            Step::Nothing | Step::NextStart | Step::TakenBack | Step::Unanswered => Ok(()),
            Step::Clear => carry_out::clear(esp, bootstate, trial),
            Step::Write => carry_out::write(esp, bootstate, &self.changes, trial),
            Step::Prepare => carry_out::prepare(esp, bootstate, trial),
            Step::Running => carry_out::commit(esp, bootstate, &self.changes, trial),
        }
    }
}

impl Step {
    /// Returns how far the trial has got, once this was done.
    pub(crate) fn trial(self) -> Option<FirmwareTrial> {
        match self {
            Step::Nothing | Step::Clear | Step::Write => None,
            Step::Prepare | Step::NextStart => Some(FirmwareTrial::NextStart),
            Step::Running => Some(FirmwareTrial::Running),
            Step::TakenBack => Some(FirmwareTrial::TakenBack),
            Step::Unanswered => Some(FirmwareTrial::Unanswered),
        }
    }
}

/// Plans what is written. A trial that has begun keeps the files that it was begun for.
fn order(wanted: &Wanted, found: &Survey, asked: Asked<'_>, ours: Option<&Mark>) -> Order {
    match (asked, ours.map(|mark| mark.scope)) {
        (Asked::Repair { remove_unknown, .. }, _) => plan(wanted, found, remove_unknown),
        (Asked::ByItself { .. }, Some(Scope::Release)) => plan(wanted, found, false),
        (Asked::ByItself { .. }, Some(Scope::Config)) => {
            let mut order = plan(wanted, found, false);
            order.write.retain(|path| is_config(wanted, path));
            order.remove.clear();
            order
        }
        (Asked::ByItself { running, renew }, None) => by_itself(wanted, found, running, renew),
    }
}

fn is_config(wanted: &Wanted, path: &str) -> bool {
    wanted.config.as_ref().is_some_and(|(config, _)| config == path)
}

/// Returns true for a file with which the board was not started yet. The loader is none: the firmware does not start it.
fn is_news(wanted: &Wanted, found: &Survey, path: &str) -> bool {
    let file = wanted.files.iter().find(|file| file.path == path);
    path != wanted.list.loader && file.is_some_and(|file| !found.known.contains(file))
}

fn is_there(found: &Survey, (path, data): &(String, Vec<u8>)) -> bool {
    let expected = manifest::Digest::of(data);
    found
        .tried
        .iter()
        .any(|file| file.path.eq_ignore_ascii_case(path) && file.sha256 == Some(expected))
}

impl TrialSet {
    /// Makes the files of a trial; `None` on boards without one, and when nobody knows what the configuration is to be.
    fn new(
        places: &Places,
        wanted: &Wanted,
        found: &Survey,
        order: &Order,
        id: [u8; 32],
    ) -> Result<Option<TrialSet>, SurveyError> {
        let (Some(settings), Some(trial), Some((_, config))) =
            (&wanted.list.settings, wanted.trial(), &wanted.config)
        else {
            return Ok(None);
        };
        let Some(mailbox) = Mailbox::new(&trial.mailbox) else {
            return Ok(None);
        };
        let whole = order
            .write
            .iter()
            .any(|path| *path != wanted.list.loader && !is_config(wanted, path));
        let mut files = Vec::new();
        for (path, content) in trial_files(&wanted.list, settings, trial, config, whole) {
            let data = match content {
                Content::Of(path) => wanted.content(places, &path)?,
                Content::Bytes(data) => data,
            };
            files.push((path, data));
        }
        let is_unknown = |path: &&String| {
            found
                .differences
                .iter()
                .any(|(other, difference)| other == *path && *difference == Difference::Unknown)
        };
        Ok(Some(TrialSet {
            mark: Mark {
                stage: Stage::Requested,
                scope: if whole { Scope::Release } else { Scope::Config },
                id,
                mailbox,
            },
            left_over: found.tried.iter().map(|file| file.path.clone()).collect(),
            unknown: order.remove.iter().filter(is_unknown).cloned().collect(),
            files,
        }))
    }
}
