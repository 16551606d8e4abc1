//! The machine config: the configuration of a node, as one YAML document.
//!
//! Converts text to checked types and back, reports every fault of a document at once, and frames the document for the
//! CONFIG partition. Never touches files, devices or the network.
//!
//! In reading order: [`v1alpha1`] holds the types of the only version so far, whose parts are made of the checked texts in
//! [`value`]; [`secret`] keeps keys out of logs. [`parse`] is the only way in, after [`decode`] where there are only bytes:
//! the YAML tree with line numbers (the crate `yaml`), the cursor that collects faults instead of stopping at them
//! (`decode`), and the rules of the version (`v1alpha1`). [`fault`] is the result when the document is wrong. [`patch`]
//! changes the text of a document by patches.

pub mod fault;
pub mod medium;
pub mod overrides;
pub mod patch;
pub mod secret;
pub mod v1alpha1;
pub mod value;

mod changes;
mod decode;
mod emit;
mod locate;
mod parse;

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;

pub use changes::changes;
pub use fault::{Fault, Faults};
pub use locate::line_of;
pub use overrides::Overrides;
pub use parse::{LIMIT, decode, parse, parse_over};
pub use secret::Secret;
pub use v1alpha1::MachineConfig;
