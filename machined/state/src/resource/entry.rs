//! The untyped view of a resource, as the API shows it.

use serde::Serialize;

/// A resource as JSON, without its secrets.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// The kind's name.
    pub kind: String,
    /// The resource's name within its kind.
    pub id: String,
    /// The store's revision at which this value was written: it grows with every change.
    pub version: u64,
    /// Who writes this resource.
    pub owner: String,
    /// The value, redacted.
    pub value: serde_json::Value,
}

/// A difference between two looks at the store.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The resource is new, or its value differs from the one seen before.
    Put(Entry),
    /// The resource is gone.
    Removed {
        /// The kind's name.
        kind: String,
        /// The resource's name within its kind.
        id: String,
    },
}
