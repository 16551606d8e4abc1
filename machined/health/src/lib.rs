//! How the node is: the one answer that status, health check, console, upgrades and trials all read.
//!
//! [`required`] holds what the machine config requires against what is known; [`problems`] is the table of everything
//! else that is not as it should be. The controller [`NodeHealth`] sums both up as [`HealthStatus`]. [`ApiCheck`] asks
//! the node's own API whether it serves. Nothing here repairs anything.

mod api_check;
mod controller;
mod problems;
mod required;

pub use api_check::ApiCheck;
pub use controller::NodeHealth;
