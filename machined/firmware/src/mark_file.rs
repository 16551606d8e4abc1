//! The mark in BOOTSTATE by which the loader is asked.

use firmware_trial::{MARK_LEN, MARK_OFFSET, Mark, decode, encode};
use medium::Medium;

use crate::survey::SurveyError;

/// Reads the mark; `None` when there is none, or it is damaged.
pub(crate) fn read(bootstate: &mut dyn Medium) -> Result<Option<Mark>, SurveyError> {
    let mut bytes = [0; MARK_LEN];
    bootstate
        .read_at(MARK_OFFSET, &mut bytes)
        .map_err(SurveyError::Mark)?;
    Ok(decode(&bytes))
}

/// Writes the mark, or removes it, and returns once it is on the medium.
pub(crate) fn write(bootstate: &mut dyn Medium, mark: Option<&Mark>) -> Result<(), SurveyError> {
    if read(bootstate)?.as_ref() == mark {
        return Ok(());
    }
    let bytes = mark.map_or([0; MARK_LEN], encode);
    bootstate
        .write_at(MARK_OFFSET, &bytes)
        .and_then(|()| bootstate.sync())
        .and_then(|()| bootstate.drop_cache())
        .map_err(SurveyError::Mark)?;
    if read(bootstate)?.as_ref() == mark {
        return Ok(());
    }
    Err(SurveyError::Mark(std::io::Error::other(
        "the mark reads back differently from what was written: the medium fails",
    )))
}
