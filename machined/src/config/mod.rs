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
mod status;
mod told;

pub use acquire::{Acquired, Found, acquire};
pub use disk::{ConfigDisk, DiskError, config_in};
pub use handle::{ConfigHandle, TRY_TIMEOUT};
pub use plan::{ApplyPlan, Effect, Mode, Refusal, decide};
pub use status::{CONFIG_ID, ConfigStatus, OwnerStatus, Pending, Phase, Source};

#[cfg(test)]
mod cuts;
#[cfg(test)]
mod lock_tests;
#[cfg(test)]
pub(crate) mod tests;
