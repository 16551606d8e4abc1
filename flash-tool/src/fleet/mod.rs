//! Flashing many cards: one row of `fleet.yaml` for each.
//!
//! Decisions and effects are separate here, too. [`document`] reads the rows, `configs` makes a machine config for each,
//! `assign` decides which row goes on which card, and `readers` which cards are new. `unpack` unpacks the bundle once for all
//! cards that are written side by side. `ledger` appends a receipt for each finished card: that is also what says which rows
//! are done. `start` puts these together before anything is written, `line` runs the writers, and `tell` says what happens.

mod args;
mod assign;
mod configs;
pub mod document;
mod error;
mod ledger;
mod line;
mod readers;
mod receipt;
mod shop;
mod start;
mod tell;
mod unpack;

pub(crate) use args::FleetArgs;
pub use error::FleetError;
