//! A file on a tiny web server of our own, which behaves, and which does not.
#![expect(clippy::unwrap_used, reason = "a test may unwrap")]

mod faults;
mod properties;
mod reading;
mod support;
mod tls;
mod words;
