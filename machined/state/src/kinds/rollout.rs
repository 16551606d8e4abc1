//! How the node stands to the rollout that it follows.

use rollout::{Moment, Rollout};
use serde::{Deserialize, Serialize};

use crate::Resource;

/// How the node stands to the rollout that it follows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RolloutState {
    /// It has yet to look at the document.
    #[default]
    Looking,
    /// Its turn has not come, or something has to be waited for.
    Waiting,
    /// The document is stopped, or has ended.
    Stopped,
    /// It is being upgraded to the release.
    Underway,
    /// There is nothing to do for it.
    Done,
    /// The release was tried or taken back here: a person has to act.
    Over,
}

/// The rollout that the node follows by itself, and its turn in it. Owned by `rollout-follower`; one, named `node`,
/// there while the machine config names a rollout.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RolloutStatus {
    /// Where it is published, without what may be secret in it.
    pub url: String,
    /// How the node stands to it.
    pub state: RolloutState,
    /// Why, in a sentence about the rollout.
    pub why: String,
    /// The newest version that was seen; none before the first.
    pub document: Option<RolloutSeen>,
    /// When a version was read that may be acted upon, in seconds since 1970 by the node's clock; none since the node
    /// started.
    pub looked_unix: Option<u64>,
    /// Why the last poll failed; none if it succeeded.
    pub error: Option<String>,
}

impl Resource for RolloutStatus {
    const KIND: &'static str = "RolloutStatus";
}

/// What a version says, and what that is for this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RolloutSeen {
    /// Names the rollout.
    pub id: String,
    /// Which version of the document it is.
    pub serial: u64,
    /// The release.
    pub version: String,
    /// SHA-256 of the release's manifest, in hex.
    pub manifest: String,
    /// The node's wave, from 1.
    pub wave: usize,
    /// How many waves there are.
    pub waves: usize,
    /// When its wave opens; none when a client drives the rollout.
    pub opens: Option<Moment>,
    /// From when on no node begins any more; none when it never ends.
    pub ends: Option<Moment>,
    /// Why it is stopped; none when it is not.
    pub stopped: Option<String>,
}

impl RolloutSeen {
    /// Returns what a rollout is for a node of that name.
    pub fn of(rollout: &Rollout, name: &str) -> Self {
        let wave = rollout.wave(name);
        RolloutSeen {
            id: rollout.id.clone(),
            serial: rollout.serial,
            version: rollout.bundle.version.to_string(),
            manifest: rollout.bundle.manifest.to_string(),
            wave: wave + 1,
            waves: rollout.waves.len(),
            opens: rollout.opens(wave),
            ends: rollout.ends,
            stopped: rollout.stopped.then(|| rollout.reason.clone()),
        }
    }
}

impl RolloutStatus {
    /// Describes in one sentence how the node stands, for people.
    pub fn sentence(&self) -> String {
        let stands = match &self.document {
            None => "it has not been polled yet".to_owned(),
            Some(seen) => {
                let opens = seen.opens.filter(|_| self.state == RolloutState::Waiting);
                let opens = opens.map(|opens| format!(" (opens {opens})")).unwrap_or_default();
                format!(
                    "{} serial {}, {} in wave {} of {}{opens}: {}",
                    seen.id, seen.serial, seen.version, seen.wave, seen.waves, self.why
                )
            }
        };
        match &self.error {
            Some(error) => format!("{stands}; the last poll failed: {error}"),
            None => stands,
        }
    }
}
