//! What a node does after every power cut: one file for each operation that is interrupted.

#![expect(clippy::unwrap_used, reason = "a test may unwrap")]

mod first_boot;
mod flash;
mod record;
mod support;
mod upgrades;
