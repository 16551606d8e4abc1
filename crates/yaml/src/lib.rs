//! Strict YAML, as every file of the house is read and written.
//!
//! [`read`] gives a [`Node`]: the document as a tree that remembers its lines, for readers that note many faults. [`from_str`]
//! gives a value of a type with serde, and [`document`] one behind its `apiVersion` and `kind`; both stop at the first [`Fault`],
//! which names the line, the path and the way out. [`did_you_mean`] is the one measure of what was probably meant.
//!
//! Strict: one document, bounded in depth and number of values, without anchors, aliases and tags; no key twice, no unknown
//! field where the type denies them, and no number where a text is expected. [`to_string`] writes what this reads back. Does no I/O.

mod documents;
mod fault;
mod header;
mod nearest;
mod tree;
mod typed;
mod value;
mod write;

pub use documents::documents;
pub use fault::{Fault, join};
pub use header::{document, wrong_header};
pub use nearest::{did_you_mean, nearest};
pub use tree::{Key, Node, Scalar, Value, read};
pub use typed::{from_node, from_str};
pub use write::{WriteError, to_string};
