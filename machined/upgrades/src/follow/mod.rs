//! Following a rollout: the node polls the signed document, and starts its upgrade by itself.
//!
//! `fetch` gets the two files, `look` does so beside everything else, `memory` keeps the newest versions so that none older is
//! believed, `before` tells from the history what became of the release here, and `pace` says when to look. Whether the node
//! begins is decided in the crate `rollout`. The controller [`RolloutFollower`] puts them together, and publishes
//! `RolloutStatus`.

mod controller;
mod error;
mod feed;
mod fetch;
mod poll;
mod poll_interval;
mod previous_attempt;
mod seen_versions;
mod status;

pub use controller::RolloutFollower;

#[cfg(test)]
mod tests;
