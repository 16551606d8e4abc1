//! Keeps the certificate the API is served with.
//!
//! [`CertificateController`] makes it, renews it and swaps it in while the API serves; [`plan`] decides when, and
//! what for; [`CertificateStatus`] tells about it. Keys are
//! made at each start and live in memory only.

mod controller;
mod plan;

#[cfg(test)]
mod clock_tests;

pub use controller::CertificateController;
