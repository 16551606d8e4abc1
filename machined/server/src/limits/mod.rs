//! Places for whoever comes over the network, and how they are shared.
//!
//! Whatever listens can hand out its places here: connections, handshakes, calls. [`places`] decides, without doing
//! anything, who gets a place and who makes room; [`Limiter`] hands the places out and tells those who have to go.
//! [`Source`] is what an address counts as.

mod limiter;
mod places;
mod source;

pub use limiter::{Limiter, Ticket};
pub use places::{Bounds, Places};
pub use source::Source;
