//! The typed, versioned state of a node.
//!
//! A [`Resource`] is plain data of one kind. The [`Store`] holds all of them; a kind has one owner, and only the
//! owner may write it. Readers watch kinds and look again when told: nobody ever waits for an event that was lost.

mod entry;
mod store;
mod watch;

pub use entry::{Entry, Event};
pub use store::{Changed, OwnerConflict, Store};
pub use watch::{DynWatch, Watch};

use serde::{Serialize, de::DeserializeOwned};

/// Is one kind of state.
///
/// Values are small and cloned freely. They appear in the API as JSON under their kind's name.
pub trait Resource: Clone + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The kind's name, in the singular and in upper camel case: `"LinkStatus"`.
    const KIND: &'static str;

    /// Returns the form that may leave the machine: a kind that holds secrets blanks them here.
    fn redact(&self) -> Self {
        self.clone()
    }
}
