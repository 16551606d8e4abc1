//! Rollouts: which nodes of a fleet get a release, in which order, and when it is halted.
//!
//! A [`Rollout`] is a small signed document: [`verify`] is the only way from untrusted bytes to one that may be acted
//! upon, and [`Rollout::follows`] decides whether a newer one may replace it. [`position`] gives each node its position,
//! which is the same wherever it is computed. [`next`] decides for a client that sees the whole fleet, [`follow`] for a
//! node that sees only itself. Pure: no I/O, no clock, no randomness.

mod document;
mod follow;
mod next;
mod replace;
mod signature_path;
mod timestamp;
mod verified;
mod waves;

pub use document::{ApiVersion, Bundle, DEFAULT_WAVES, Kind, MAX_LEN, ParseError, Rollout};
pub use follow::{Done, Follow, NodeState, PreviousAttempt, Wait, follow};
pub use next::{Halt, Member, Next, Turn, next};
pub use replace::ReplaceError;
pub use signature_path::{MAX_SIGNATURES, signatures_of};
pub use timestamp::{Moment, NotAMoment};
pub use verified::{VerifiedRollout, VerifyError, verify};
pub use waves::{POSITIONS, position};
