//! Keeps the clock: SNTP, and the last time seen for boards without a clock.
//!
//! At the start, before anything looks at the time, [`restore`] lifts the clock to the last time that was saved, or to
//! the image's own age. From then on [`TimeSync`] asks the servers of the machine config, of DHCP, or the default
//! one, and `discipline` decides what to do with their answers; [`save`] keeps the time for the next start. `sntp`
//! talks to one server. [`Bounds`] say which times can be true at all.

mod bounds;
mod discipline;
mod host;
mod last_known;
mod servers;
mod sntp;
mod sync;

#[cfg(test)]
mod loopback_tests;

pub use bounds::Bounds;
pub use discipline::{Adjustment, Sample};
pub use host::HostTime;
pub use last_known::{Restored, SAVED, SaveError, restore, save};
pub use servers::DEFAULT_SERVER;
pub use sntp::{Sntp, SntpError, TimeSource};
pub use sync::{TimeSync, save_at_end};
