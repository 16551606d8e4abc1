//! A file on a tiny web server, which behaves well or badly.
#![expect(clippy::unwrap_used, reason = "a test may unwrap")]

mod error_texts;
mod faults;
mod properties;
mod reading;
mod support;
mod tls;
