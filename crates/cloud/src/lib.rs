//! What clouds give to a machine, and how a machine recognises where it runs. Without I/O.
//!
//! [`user_data`] is the document that people give to an instance, [`meta_data`] and [`network_data`] are what the cloud adds. Both come from a volume with a
//! label ([`volume`]) or from a service. [`seed`] is the address that a machine's firmware may name, and [`firmware`] decides
//! by what the firmware says which cloud it is. All of it comes from outside: every reader is strict and bounded.

pub mod firmware;
pub mod meta_data;
pub mod network_data;
pub mod seed;
pub mod user_data;
pub mod volume;
