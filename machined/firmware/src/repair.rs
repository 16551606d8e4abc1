//! Writes the release's files to the partition.

use fat::{Change, Volume};
use firmware_files::{Difference, Order, order};
use medium::Medium;

use crate::places::Places;
use crate::survey::{Survey, SurveyError, Wanted};

/// Plans what is written and removed. Files that no release put there are removed only if that is wanted.
pub(crate) fn plan(wanted: &Wanted, survey: &Survey, remove_unknown: bool) -> Order {
    let paths = |takes: fn(Difference, bool) -> bool| -> Vec<String> {
        let taken = survey
            .differences
            .iter()
            .filter(|(_, difference)| takes(*difference, remove_unknown));
        taken.map(|(path, _)| path.clone()).collect()
    };
    let differing = paths(|difference, _| difference != Difference::Unknown);
    // A file of another release that this one does not have is not in its list: it goes with the others.
    let remove = paths(|difference, unknown| match difference {
        Difference::OtherRelease => true,
        Difference::Unknown => unknown,
        Difference::Changed | Difference::Missing | Difference::Damaged => false,
    });
    order(&wanted.list, &differing, &remove)
}

/// Plans what the node writes unasked: lines of the machine config, and with `renew` all files when another release's are there.
///
/// Nothing is written over what somebody changed: that is for a person to see first.
pub(crate) fn by_itself(wanted: &Wanted, survey: &Survey, running: &str, renew: bool) -> Order {
    let ours = |(_, difference): &(String, Difference)| *difference == Difference::OtherRelease;
    let differences = &survey.differences;
    if renew && differences.iter().all(ours) {
        return plan(wanted, survey, false);
    }
    // The configuration alone differs by its lines only if the rest is of this release.
    let is_own = survey.installed == running || survey.installed.is_empty();
    let config = wanted.config.iter().map(|(path, _)| path);
    let write =
        config.filter(|path| is_own && differences.iter().any(|found| found.0 == **path && ours(found)));
    Order {
        write: write.cloned().collect(),
        remove: Vec::new(),
    }
}

/// A change of a file on the partition: its new bytes, or none when it is removed.
pub(crate) type Changed = (String, Option<Vec<u8>>);

/// Lists the changes of a plan, in their order: the loader is the last.
///
/// # Errors
/// The files of the release cannot be read.
pub(crate) fn changes(places: &Places, wanted: &Wanted, plan: &Order) -> Result<Vec<Changed>, SurveyError> {
    let put = |path: &String| Ok((path.clone(), Some(wanted.content(places, path)?)));
    let (loader, others): (Vec<&String>, Vec<&String>) =
        plan.write.iter().partition(|path| **path == wanted.list.loader);
    let removed = plan.remove.iter().map(|path| Ok((path.clone(), None)));
    others
        .into_iter()
        .map(put)
        .chain(removed)
        .chain(loader.into_iter().map(put))
        .collect()
}

/// Carries changes out. A power cut leaves each file old or new.
///
/// # Errors
/// Nothing is changed when the partition is full or cannot be followed, or does not hold what was written to it.
pub(crate) fn apply(esp: &mut dyn Medium, changes: &[Changed]) -> Result<(), SurveyError> {
    let changes: Vec<Change<'_>> = changes
        .iter()
        .map(|(path, data)| match data {
            Some(data) => Change::Put { path, data },
            None => Change::Remove { path },
        })
        .collect();
    if !changes.is_empty() {
        Volume::open(esp)?.apply(&changes)?;
    }
    Ok(())
}
