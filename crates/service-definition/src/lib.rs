//! What a service is: a program that a node keeps running.
//!
//! [`Service`] is the form that people write in overlays and that images carry in `release.yaml`. [`check`] turns a
//! list of them into [`Definitions`], which hold only what can be run, in an order in which they can be started. The
//! image builder and machined check with the same code, so an image whose services cannot run is never built.
//!
//! This crate does no I/O: whether a program exists is for others to find out.

mod capability;
mod checked;
mod faults;
mod fields;
mod health;
mod order;
mod raw;
mod rights;

pub use capability::Capabilities;
pub use checked::{Definition, Definitions, Directory, Resources, Run, check};
pub use faults::{Fault, Faults};
pub use health::{Check, Health};
pub use quantity::Size;
pub use raw::{FolderToMake, HealthCheck, KillMode, Limits, Restart, Service, Unhealthy, User};
pub use rights::Rights;
