//! The gRPC API: messages, services, and the least role of each method.
//!
//! The `.proto` files in `proto/` are the interface; [`v1alpha1`] is made from them when the crate is built.
//! [`roles`] says who may call what, in one table that the node enforces and the reference is written from.
//! [`names`] turns enumerations into words. There is no client and no server here, and no TLS: see `pki`.

pub mod names;
pub mod roles;

pub use roles::{METHODS, Maintenance, Role};

/// Port on which every node serves the API.
pub const PORT: u16 = 50000;

/// Largest message either side accepts: a machine config and its surroundings fit, a flood does not.
pub const MAX_MESSAGE: usize = 1024 * 1024;

/// Version of the API, as in the package name.
pub const VERSION: &str = "v1alpha1";

/// Descriptors of all our services, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// Messages, clients and servers of `bedplate.v1alpha1`, generated from `proto/`.
#[allow(
    missing_docs,
    clippy::all,
    reason = "generated; the comments stand in the .proto files"
)]
pub mod v1alpha1 {
    tonic::include_proto!("bedplate.v1alpha1");
}
