//! How etcd is to start, from what is on the disk. Pure.

use state::kinds::VolumeState;

use crate::places::Data;

/// What is known before anybody else is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts<'a> {
    /// The identity of the cluster, by the machine config.
    pub cluster: &'a str,
    /// The volume of etcd's data; none while it is not known.
    pub volume: Option<&'a VolumeState>,
    /// What etcd's folder holds.
    pub data: Data,
    /// The cluster that it belongs to, as far as anybody said.
    pub owner: Option<&'a str>,
    /// The cluster that the node was asked to bootstrap.
    pub bootstrap: Option<&'a str>,
    /// The cluster whose restored data are ready.
    pub recovery: Option<&'a str>,
}

/// How etcd is to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Start {
    /// Not at all, for this reason.
    Not(String),
    /// As the first of a new cluster; what etcd made before its first write is removed before.
    First {
        /// Set when there is something to remove.
        remove: bool,
    },
    /// With data that were restored from a snapshot, and are to be put in their place.
    Recovers,
    /// With its data.
    GoesOn,
    /// As one of the others, which are to be asked.
    Asks,
}

/// Decides how etcd is to start.
pub(crate) fn start(facts: &Facts<'_>) -> Start {
    match facts.volume {
        Some(VolumeState::Ready { .. }) => {}
        Some(VolumeState::Volatile { reason }) => return Start::Not(volatile(reason)),
        Some(VolumeState::Failed { error }) => {
            return Start::Not(format!("DATA cannot be used: {error}"));
        }
        Some(VolumeState::Preparing) | None => return Start::Not("DATA is being prepared".to_owned()),
    }
    let has_data = facts.data != Data::Empty;
    if has_data && let Some(owner) = facts.owner.filter(|owner| *owner != facts.cluster) {
        return Start::Not(format!(
            "etcd's data belong to another cluster ({owner}, not {}); to give them up, run `bedplate reset --scope data`",
            facts.cluster
        ));
    }
    let asked = facts.bootstrap == Some(facts.cluster);
    match (facts.data, asked) {
        (Data::Present, _) | (Data::Begun, false) => Start::GoesOn,
        (Data::Begun, true) => Start::First { remove: true },
        (Data::Empty, _) if facts.recovery == Some(facts.cluster) => Start::Recovers,
        (Data::Empty, true) => Start::First { remove: false },
        (Data::Empty, false) => Start::Asks,
    }
}

/// Says why etcd does not start on memory.
pub(crate) fn volatile(reason: &str) -> String {
    format!(
        "DATA is only in memory ({reason}), and what etcd holds there is lost at the next start; repair the disk, or run `bedplate reset --scope data`"
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const READY: VolumeState = VolumeState::Ready {
        formatted: false,
        repaired: false,
    };

    fn facts(data: Data) -> Facts<'static> {
        Facts {
            cluster: "home",
            volume: Some(&READY),
            data,
            owner: None,
            bootstrap: None,
            recovery: None,
        }
    }

    #[test]
    fn data_go_on_and_a_request_begins() {
        let asked = |data| Facts {
            bootstrap: Some("home"),
            ..facts(data)
        };
        let cases = [
            (facts(Data::Empty), Start::Asks),
            (facts(Data::Begun), Start::GoesOn),
            (facts(Data::Present), Start::GoesOn),
            (asked(Data::Empty), Start::First { remove: false }),
            (asked(Data::Begun), Start::First { remove: true }),
            (asked(Data::Present), Start::GoesOn),
        ];
        for (facts, expected) in cases {
            assert_eq!(start(&facts), expected, "{facts:?}");
        }
        let other = Facts {
            bootstrap: Some("away"),
            ..facts(Data::Empty)
        };
        assert_eq!(
            start(&other),
            Start::Asks,
            "a request for another cluster is none"
        );
        let recovers = |data, cluster| Facts {
            recovery: Some(cluster),
            ..facts(data)
        };
        assert_eq!(start(&recovers(Data::Empty, "home")), Start::Recovers);
        assert_eq!(start(&recovers(Data::Empty, "away")), Start::Asks);
        assert_eq!(start(&recovers(Data::Present, "home")), Start::GoesOn);
        assert_eq!(start(&recovers(Data::Begun, "home")), Start::GoesOn);
    }

    #[test]
    fn memory_and_another_cluster_s_data_are_refused() {
        let reason = VolumeState::Volatile {
            reason: "the disk is broken".into(),
        };
        let lost = Facts {
            volume: Some(&reason),
            bootstrap: Some("home"),
            ..facts(Data::Empty)
        };
        let Start::Not(why) = start(&lost) else {
            panic!("it starts in memory")
        };
        assert!(
            why.starts_with("DATA is only in memory (the disk is broken)"),
            "{why}"
        );
        let theirs = Facts {
            owner: Some("away"),
            ..facts(Data::Present)
        };
        let Start::Not(why) = start(&theirs) else {
            panic!("it takes another's data")
        };
        assert!(why.contains("another cluster (away, not home)"), "{why}");
    }

    proptest! {
        #[test]
        fn nothing_that_was_written_is_ever_given_up(
            owner in proptest::option::of("home|away"),
            bootstrap in proptest::option::of("home|away"),
            recovery in proptest::option::of("home|away"),
            kind in 0..4_u8,
        ) {
            let volatile = VolumeState::Volatile { reason: String::new() };
            let volume = [None, Some(&READY), Some(&volatile), Some(&VolumeState::Preparing)][usize::from(kind)];
            let facts = Facts { owner: owner.as_deref(), bootstrap: bootstrap.as_deref(), recovery: recovery.as_deref(), volume, ..facts(Data::Present) };
            let found = start(&facts);
            prop_assert!(matches!(found, Start::GoesOn | Start::Not(_)), "{found:?}");
            if volume != Some(&READY) || owner.as_deref() == Some("away") {
                prop_assert!(matches!(found, Start::Not(_)), "{found:?}");
            }
        }
    }
}
