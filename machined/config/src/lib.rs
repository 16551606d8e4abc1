//! Finds the machine config, validates it, and applies it.
//!
//! [`acquire`] looks through a table of places once at the start. [`plan`] decides, without doing anything, what a
//! new config would mean. [`ConfigHandle`] does it, for the API; it alone writes the resources of [`status`] and the
//! files of [`disk`], each under the checksum of [`seal`]. Who acts on a config watches the resource `MachineConfig`: this module never calls them.

mod acquire;
mod caller;
mod disk;
mod handle;
mod plan;
mod seal;
mod told;

pub use acquire::{Acquired, Found, acquire};
pub use disk::{ConfigDisk, DiskError, config_in};
pub use handle::{ConfigHandle, TRY_TIMEOUT};
pub use plan::{ApplyPlan, Effect, Mode, Refusal, decide};

#[cfg(test)]
mod cuts;
#[cfg(test)]
mod lock_tests;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
