//! The steps of a trial on its two partitions. Each ends before the next begins, and after a power cut between any two of
//! them the node finds from what is there how to go on.

use firmware_trial::Stage;
use medium::Medium;

use super::TrialSet;
use crate::mark_file;
use crate::repair::{Changed, apply};
use crate::survey::SurveyError;

/// Puts files on trial: no mark, the files, the mark. So a loader that finds the mark finds all files, too.
pub(super) fn prepare(
    esp: &mut dyn Medium,
    bootstate: &mut dyn Medium,
    trial: &TrialSet,
) -> Result<(), SurveyError> {
    mark_file::write(bootstate, None)?;
    let is_tried = |path: &&String| {
        let same = |(tried, _): &(String, Vec<u8>)| tried.eq_ignore_ascii_case(path);
        trial.files.iter().any(same)
    };
    let removed = trial
        .left_over
        .iter()
        .filter(|path| !is_tried(path))
        .chain(&trial.unknown);
    let put = trial.files.iter();
    let changes: Vec<Changed> = removed
        .map(|path| (path.clone(), None))
        .chain(put.map(|(path, data)| (path.clone(), Some(data.clone()))))
        .collect();
    apply(esp, &changes)?;
    mark_file::write(bootstate, Some(&trial.mark))
}

/// Makes the files of a trial that went well the usual ones: first that it went well, so that the rest needs no second trial.
pub(super) fn commit(
    esp: &mut dyn Medium,
    bootstate: &mut dyn Medium,
    changes: &[Changed],
    trial: &TrialSet,
) -> Result<(), SurveyError> {
    mark_file::write(bootstate, Some(&trial.mark.at(Stage::Healthy)))?;
    write(esp, bootstate, changes, trial)
}

/// Writes files at once, and removes what is left over from a trial.
pub(super) fn write(
    esp: &mut dyn Medium,
    bootstate: &mut dyn Medium,
    changes: &[Changed],
    trial: &TrialSet,
) -> Result<(), SurveyError> {
    apply(esp, changes)?;
    clear(esp, bootstate, trial)
}

/// Removes what is left over from a trial. The mark is the first: a loader that finds it finds all files.
pub(super) fn clear(
    esp: &mut dyn Medium,
    bootstate: &mut dyn Medium,
    trial: &TrialSet,
) -> Result<(), SurveyError> {
    mark_file::write(bootstate, None)?;
    let removed: Vec<Changed> = trial.left_over.iter().map(|path| (path.clone(), None)).collect();
    apply(esp, &removed)
}
