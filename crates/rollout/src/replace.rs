//! Whether a newer version of a rollout may replace an older one.

use crate::Rollout;

/// Why it may not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplaceError {
    /// An old version is shown: perhaps one from before it was stopped.
    #[error("serial {found} is older than {known}, which was seen before")]
    Older {
        /// The serial that was shown.
        found: u64,
        /// The highest that was seen.
        known: u64,
    },
    /// Two versions have the same serial and different content.
    #[error("serial {0} was seen before with another content; a change needs the next serial")]
    SameSerial(u64),
    /// A field differs that must not change.
    #[error("{0} differs from the version before; that needs a rollout with another id")]
    Differs(&'static str),
}

impl Rollout {
    /// Checks that it may replace `older`: either it is the same document, or it is the same rollout of the same release to
    /// the same waves, with a higher serial. These may change: the bundle's URL, the begin and end times, the pause, the
    /// number of failures that are tolerated, and whether it is stopped.
    pub fn follows(&self, older: &Rollout) -> Result<(), ReplaceError> {
        for (what, same) in [
            ("id", self.id == older.id),
            ("bundle.manifest", self.bundle.manifest == older.bundle.manifest),
            ("bundle.version", self.bundle.version == older.bundle.version),
            ("bundle.board", self.bundle.board == older.bundle.board),
            ("waves", self.waves == older.waves),
            ("seed", self.seed == older.seed),
        ] {
            if !same {
                return Err(ReplaceError::Differs(what));
            }
        }
        match self.serial.cmp(&older.serial) {
            std::cmp::Ordering::Greater => Ok(()),
            std::cmp::Ordering::Equal if self == older => Ok(()),
            std::cmp::Ordering::Equal => Err(ReplaceError::SameSerial(self.serial)),
            std::cmp::Ordering::Less => Err(ReplaceError::Older {
                found: self.serial,
                known: older.serial,
            }),
        }
    }
}
