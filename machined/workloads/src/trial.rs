//! Which image a workload runs: the one that its config wants, or the one before. Pure.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use state::kinds::WorkloadStage;

/// How long a workload must be healthy with a new image before the one before is forgotten.
const STEADY: Duration = Duration::from_secs(10);

/// What is remembered of a workload, over restarts of the node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Record {
    /// The image with which it was healthy last.
    pub good: Option<String>,
    /// The one before that, which the node keeps in case the config goes back to it.
    pub previous: Option<String>,
    /// The image that it was not healthy with.
    pub rejected: Option<String>,
    /// Why.
    pub why: Option<String>,
}

/// What is known of a workload now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen<'a> {
    /// The image that the config wants.
    pub wanted: &'a str,
    /// Set when the node has it.
    pub present: bool,
    /// How long its service has been healthy, with this image.
    pub healthy: Option<Duration>,
    /// How long ago it was first run with this image.
    pub tried: Option<Duration>,
    /// How long it may take.
    pub period: Duration,
    /// What its service says.
    pub says: &'a str,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The image to run; none before the first is there.
    pub run: Option<String>,
    /// How far it has come.
    pub stage: WorkloadStage,
    /// What is to be remembered from now on.
    pub record: Record,
    /// Images that this workload needs no longer.
    pub unneeded: Vec<String>,
}

/// Chooses the image.
pub fn choose(before: &Record, seen: Seen<'_>) -> Choice {
    let choice = decide(before.clone(), seen);
    let needed = |image: &String| {
        let record = &choice.record;
        let kept = [&record.good, &record.previous, &record.rejected];
        image == seen.wanted || kept.into_iter().flatten().any(|kept| kept == image)
    };
    let known = [&before.good, &before.previous, &before.rejected];
    let unneeded = known.into_iter().flatten().filter(|image| !needed(image));
    Choice {
        unneeded: unneeded.cloned().collect(),
        ..choice
    }
}

fn decide(mut record: Record, seen: Seen<'_>) -> Choice {
    let wanted = seen.wanted.to_owned();
    let choice = |run, stage, record| Choice {
        run,
        stage,
        record,
        unneeded: Vec::new(),
    };
    if record
        .rejected
        .as_ref()
        .is_some_and(|rejected| *rejected != wanted)
    {
        record.rejected = None;
        record.why = None;
    }
    if record.good.as_ref() == Some(&wanted) {
        let stage = if seen.present {
            WorkloadStage::Committed
        } else {
            WorkloadStage::Fetching
        };
        return choice(seen.present.then_some(wanted), stage, record);
    }
    let before = |record: Record, stage| choice(record.good.clone(), stage, record);
    if record.rejected.is_some() {
        return before(record, WorkloadStage::RolledBack);
    }
    if !seen.present {
        return before(record, WorkloadStage::Fetching);
    }
    if seen.healthy.is_some_and(|healthy| healthy >= STEADY) {
        record.previous = record.good.replace(wanted.clone());
        return choice(Some(wanted), WorkloadStage::Committed, record);
    }
    let late = seen.healthy.is_none() && seen.tried.is_some_and(|tried| tried >= seen.period);
    if late && record.good.is_some() {
        record.rejected = Some(wanted);
        record.why = Some(seen.says.to_owned());
        return before(record, WorkloadStage::RolledBack);
    }
    choice(Some(wanted), WorkloadStage::Trial, record)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Seen<'_> = Seen {
        wanted: "b",
        present: true,
        healthy: None,
        tried: Some(Duration::ZERO),
        period: Duration::from_secs(300),
        says: "ended with 1",
    };

    fn good(image: &str) -> Record {
        Record {
            good: Some(image.into()),
            ..Record::default()
        }
    }

    #[test]
    fn the_image_before_runs_until_the_new_one_is_there() {
        let choice = choose(
            &good("a"),
            Seen {
                present: false,
                ..NOW
            },
        );
        assert_eq!(
            (choice.run.as_deref(), choice.stage),
            (Some("a"), WorkloadStage::Fetching)
        );
        let first = choose(
            &Record::default(),
            Seen {
                present: false,
                ..NOW
            },
        );
        assert_eq!(first.run, None);
    }

    #[test]
    fn a_new_image_is_kept_once_it_was_healthy_for_a_while() {
        let brief = choose(
            &good("a"),
            Seen {
                healthy: Some(STEADY / 2),
                ..NOW
            },
        );
        assert_eq!(
            (brief.stage, brief.record.good.as_deref()),
            (WorkloadStage::Trial, Some("a"))
        );
        let steady = choose(
            &good("a"),
            Seen {
                healthy: Some(STEADY),
                ..NOW
            },
        );
        assert_eq!(
            (steady.stage, steady.record.good.as_deref()),
            (WorkloadStage::Committed, Some("b"))
        );
    }

    #[test]
    fn one_that_does_not_get_healthy_in_time_goes_back_and_stays_back() {
        let late = Seen {
            tried: Some(NOW.period),
            ..NOW
        };
        let back = choose(&good("a"), late);
        assert_eq!(
            (back.run.as_deref(), back.stage),
            (Some("a"), WorkloadStage::RolledBack)
        );
        assert_eq!(back.record.why.as_deref(), Some("ended with 1"));
        assert_eq!(
            choose(&back.record, NOW).run.as_deref(),
            Some("a"),
            "also after a restart"
        );
        let other = choose(&back.record, Seen { wanted: "c", ..NOW });
        assert_eq!((other.run.as_deref(), other.record.rejected), (Some("c"), None));
        let again = choose(&back.record, Seen { wanted: "a", ..NOW });
        assert_eq!(
            (again.stage, again.record.rejected),
            (WorkloadStage::Committed, None)
        );
    }

    #[test]
    fn the_image_before_stays_and_the_one_before_that_goes() {
        let record = Record {
            good: Some("a".into()),
            previous: Some("z".into()),
            ..Record::default()
        };
        let healthy = Seen {
            healthy: Some(STEADY),
            ..NOW
        };
        assert_eq!(
            choose(&record, NOW).unneeded,
            [""; 0],
            "nothing goes during a trial"
        );
        let committed = choose(&record, healthy);
        assert_eq!(committed.record.previous.as_deref(), Some("a"));
        assert_eq!(committed.unneeded, ["z"]);
        let back = choose(
            &record,
            Seen {
                tried: Some(NOW.period),
                ..NOW
            },
        );
        let other = choose(&back.record, Seen { wanted: "c", ..NOW });
        assert_eq!(
            other.unneeded,
            ["b"],
            "what was rejected goes once it is not wanted"
        );
    }

    #[test]
    fn the_first_image_has_nothing_to_go_back_to() {
        let late = Seen {
            tried: Some(NOW.period),
            ..NOW
        };
        let choice = choose(&Record::default(), late);
        assert_eq!(
            (choice.run.as_deref(), choice.stage),
            (Some("b"), WorkloadStage::Trial)
        );
    }

    proptest! {
        #[test]
        fn nothing_runs_that_is_neither_wanted_nor_good(
            good in proptest::option::of("[abc]"), rejected in proptest::option::of("[abc]"), wanted in "[abc]",
            present: bool, healthy in proptest::option::of(0_u64..40), tried in proptest::option::of(0_u64..600),
        ) {
            let record = Record { good: good.clone(), rejected, ..Record::default() };
            let seconds = |n: Option<u64>| n.map(Duration::from_secs);
            let seen = Seen { wanted: &wanted, present, healthy: seconds(healthy), tried: seconds(tried), ..NOW };
            let choice = choose(&record, seen);
            if let Some(run) = &choice.run {
                prop_assert!((*run == wanted && present) || Some(run) == good.as_ref());
            }
            prop_assert!(choice.record.good.is_some() || good.is_none(), "a good image is never forgotten for nothing");
            prop_assert!(choice.run.is_none_or(|run| !choice.unneeded.contains(&run)));
            prop_assert!(!choice.unneeded.contains(&wanted));
        }
    }
}
