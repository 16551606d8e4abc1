//! The client's file: which clusters there are, where they are, and with which certificate to come.

mod file;
mod model;

pub use file::{load, path, save, write_private};
pub use model::{ClientConfig, Context};
