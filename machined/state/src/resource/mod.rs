//! The typed, versioned state of a node.
//!
//! A [`Resource`] is plain data of one kind. The [`Store`] holds all of them. A kind has one owner, and only the owner
//! writes it; a kind that is [shared](Resource::SHARED) has an owner for each resource instead. Readers watch kinds and
//! look again when it changes: nobody ever waits for an event that was lost.

mod entry;
mod store;
mod watch;

pub use entry::{Entry, Event};
pub use store::{Changed, OwnerConflict, Store};
pub use watch::{DynWatch, Watch};

use serde::{Serialize, de::DeserializeOwned};

/// One kind of state.
///
/// Values are small and cloned freely. They appear in the API as JSON under their kind's name.
pub trait Resource: Clone + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The kind's name, in the singular and in upper camel case: `"LinkStatus"`.
    const KIND: &'static str;

    /// Set when several controllers write this kind, each its own resources: whoever creates a resource owns it until
    /// it is removed. Otherwise whoever first writes the kind owns all of it.
    const SHARED: bool = false;

    /// Returns the form that may leave the machine: a kind that holds secrets blanks them here.
    fn redact(&self) -> Self {
        self.clone()
    }
}
