//! Finds the machine config, validates it, and applies it.
//!
//! [`acquire`] looks through a table of places on the disk, once at the start. A node without a config, and without an owner, then
//! asks the [`platform`]s: attached volumes, and services behind the network when it is up. `plan` decides, without doing anything,
//! what a new config would mean. [`ConfigHandle`] does it, for the API and for platforms; it alone writes `MachineConfig`,
//! `ConfigStatus` and `OwnerStatus`, and the files of `disk`, each under the checksum of `seal`. Who acts on a config watches the
//! resource `MachineConfig`: this crate never calls them.

mod acquire;
mod caller;
mod disk;
mod firmware_lines;
mod handle;
mod plan;
pub mod platform;
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
