//! The client config: clusters, their endpoints, and the client certificate for each.

mod file;
mod model;

pub use file::{load, path, save, write_private};
pub use model::{ClientConfig, Context};
