//! The state of a node, and what keeps it true.
//!
//! A [`Resource`] is plain data of one kind. The [`Store`] holds all of them; a kind has one owner, and only the owner
//! writes it, unless it is [shared](Resource::SHARED). A [`Controller`] reads some kinds and owns others; the [`Runtime`] calls it when one of its inputs changes.
//!
//! | part | what it is |
//! |---|---|
//! | [`kinds`] | every kind of resource that a node has |
//! | `resource`, `controller` | the store, and the runtime of the controllers |
//! | [`tasks`] | tasks that have no end: started again whenever they end |
//! | [`testkit`] | runs controllers in tests, without a kernel and without waiting |
//!
//! Nothing here makes a system call, reads a file, or knows what a kind means to the machine: that is for the crates above.

mod controller;
pub mod kinds;
mod resource;
pub mod tasks;
pub mod testkit;

pub use controller::{
    Action, Controller, ControllerError, ControllerState, ControllerStatus, Runtime, chain, panic_message,
};
pub use resource::{Changed, DynWatch, Entry, Event, OwnerConflict, Resource, Store, Watch};
