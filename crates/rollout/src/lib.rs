//! Rollouts: which nodes of a fleet get a release, in which order, and when it is halted.
//!
//! A [`Rollout`] is a small signed document: [`verify`] is the only way from bytes off a wire to one that may be acted
//! upon, and [`Rollout::follows`] says whether a newer one may take its place. [`position`] gives each node its place, which
//! stays the same whoever works it out. [`next`] decides for a client that sees the whole fleet, [`follow`] for a node that
//! sees itself alone. Pure: no I/O, no clock, nothing random.

mod beside;
mod document;
mod follow;
mod moment;
mod next;
mod replace;
mod verified;
mod waves;

pub use beside::{MAX_SIGNATURES, signatures_of};
pub use document::{ApiVersion, Bundle, DEFAULT_WAVES, Kind, MAX_LEN, ParseError, Rollout};
pub use follow::{Before, Done, Follow, Standing, Wait, follow};
pub use moment::{Moment, NotAMoment};
pub use next::{Halt, Member, Next, Turn, next};
pub use replace::ReplaceError;
pub use verified::{VerifiedRollout, VerifyError, verify};
pub use waves::{POSITIONS, position};
