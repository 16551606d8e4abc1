//! What tells the system's disk from every other: decides when it needs GUIDs of its own. Pure.

use serde::{Deserialize, Serialize};

/// How many GUIDs that copies may bear are remembered.
const FORMER: usize = 8;

/// What STATE remembers of the disk that it lies on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Remembered {
    /// The GUID in the disk's partition table, in lower case.
    pub guid: String,
    /// What the hardware is called by its maker; none where it does not tell.
    pub serial: Option<String>,
    /// GUIDs that this disk shared with a copy, the newest last.
    pub former: Vec<String>,
}

/// Why the disk gets GUIDs of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// It is started for the first time: every card that was written from one disk image has the same GUIDs.
    FirstStart,
    /// Its content was on other hardware before.
    Moved {
        /// The serial number of that hardware.
        from: String,
    },
    /// Other disks of this machine have the same.
    Copies {
        /// The kernel's names of them.
        names: Vec<String>,
    },
}

/// What is to be done about the disk's identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Nothing.
    Keep,
    /// The table was changed already: only STATE has to learn of it.
    Remember,
    /// The table gets new GUIDs.
    Rename(Reason),
}

/// Decides, from what STATE remembers, what the disk says of itself now, and which other disks have its GUID.
pub fn decide(
    remembered: Option<&Remembered>,
    guid: &str,
    serial: Option<&str>,
    copies: &[String],
) -> Decision {
    let Some(remembered) = remembered else {
        return Decision::Rename(Reason::FirstStart);
    };
    if !copies.is_empty() {
        return Decision::Rename(Reason::Copies {
            names: copies.to_vec(),
        });
    }
    if remembered.guid != guid {
        // A power cut came between the table and STATE.
        return Decision::Remember;
    }
    match (remembered.serial.as_deref(), serial) {
        (Some(from), Some(now)) if from != now => Decision::Rename(Reason::Moved {
            from: from.to_owned(),
        }),
        (None, Some(_)) => Decision::Remember,
        _ => Decision::Keep,
    }
}

impl Remembered {
    /// Returns what is to be remembered of a disk with this GUID from now on. The GUID that it shared with a copy is kept
    /// in mind, so that the copy is known when it is plugged in again.
    pub fn next(
        before: Option<&Remembered>,
        guid: &str,
        serial: Option<String>,
        reason: Option<&Reason>,
    ) -> Self {
        let mut former = before.map(|before| before.former.clone()).unwrap_or_default();
        if let (Some(before), Some(Reason::Moved { .. } | Reason::Copies { .. })) = (before, reason) {
            former.push(before.guid.clone());
            let surplus = former.len().saturating_sub(FORMER);
            former.drain(..surplus);
        }
        Remembered {
            guid: guid.to_owned(),
            serial: serial.or_else(|| before.and_then(|before| before.serial.clone())),
            former,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remembered(serial: Option<&str>) -> Remembered {
        Remembered {
            guid: "1".into(),
            serial: serial.map(str::to_owned),
            former: Vec::new(),
        }
    }

    #[test]
    fn each_disk_gets_an_identity_once_and_again_when_it_has_a_copy() {
        let (known, anonymous) = (remembered(Some("A")), remembered(None));
        let copies = vec!["vdb".to_owned()];
        let moved = || Decision::Rename(Reason::Moved { from: "A".into() });
        let shared = || {
            Decision::Rename(Reason::Copies {
                names: copies.clone(),
            })
        };
        let table = [
            (None, "1", None, false, Decision::Rename(Reason::FirstStart)),
            (None, "1", Some("A"), true, Decision::Rename(Reason::FirstStart)),
            (Some(&known), "1", Some("A"), false, Decision::Keep),
            (Some(&known), "1", None, false, Decision::Keep),
            (Some(&known), "1", Some("B"), false, moved()),
            (Some(&known), "2", Some("B"), false, Decision::Remember),
            (Some(&anonymous), "1", None, false, Decision::Keep),
            (Some(&anonymous), "1", Some("A"), false, Decision::Remember),
            (Some(&known), "1", Some("A"), true, shared()),
        ];
        for (remembered, guid, serial, copied, expected) in table {
            let copies = if copied { &copies[..] } else { &[] };
            assert_eq!(
                decide(remembered, guid, serial, copies),
                expected,
                "{remembered:?} {guid} {serial:?} {copies:?}"
            );
        }
    }

    #[test]
    fn whatever_was_done_the_next_look_finds_nothing_to_do() {
        for reason in [
            None,
            Some(Reason::FirstStart),
            Some(Reason::Moved { from: "A".into() }),
        ] {
            for before in [None, Some(remembered(Some("A")))] {
                let next = Remembered::next(before.as_ref(), "7", Some("B".into()), reason.as_ref());
                assert_eq!(decide(Some(&next), "7", Some("B"), &[]), Decision::Keep);
            }
        }
    }

    #[test]
    fn only_guids_that_a_copy_bears_are_kept_in_mind() {
        let first = Remembered::next(None, "1", None, Some(&Reason::FirstStart));
        assert_eq!(first.former, [""; 0]);
        let copies = Reason::Copies {
            names: vec!["vdb".into()],
        };
        let mut now = first;
        for guid in 2..20 {
            now = Remembered::next(Some(&now), &guid.to_string(), None, Some(&copies));
        }
        assert_eq!(now.former.len(), FORMER);
        assert_eq!(now.former.last().unwrap(), "18");
    }
}
