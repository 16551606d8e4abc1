//! The definition of a service: a program that a node keeps running.
//!
//! [`Service`] is the form that people write in overlays and that images carry in `release.yaml`. [`check`] turns a
//! list of them into [`Definitions`], which hold only what can be run, in an order in which they can be started. The
//! image builder and machined use the same checks, so an image whose services cannot run is never built.
//!
//! This crate does no I/O: it does not check that programs exist.

mod capability;
mod definition;
mod faults;
mod fields;
mod health;
mod order;
mod raw;
mod rights;

pub use capability::Capabilities;
pub use definition::{Definition, Definitions, Directory, Resources, Run, check};
pub use faults::{Fault, Faults};
pub use health::{Check, Health, Tls};
pub use quantity::Size;
pub use raw::{FolderToMake, HealthCheck, HealthTls, KillMode, Limits, Restart, Service, Unhealthy, User};
pub use rights::Rights;
