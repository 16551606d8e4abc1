//! Certificate authorities, short-lived certificates and the TLS settings of both ends.
//!
//! In reading order: [`key`] and [`certificate`] hold what is issued, [`authority`] issues it, [`request`] asks it to, [`kubernetes`] holds the
//! secrets of Kubernetes, [`secrets`] is the secrets file of a cluster. [`clock`] handles nodes without a clock; [`server`]
//! and [`client`] make settings for TLS 1.3, with ring as the only provider. [`check`] checks what a person provides. No
//! sockets and no files: callers do the I/O.

pub mod authority;
pub mod certificate;
pub mod check;
pub mod client;
pub mod clock;
pub mod fingerprint;
pub mod key;
pub mod kubernetes;
pub mod request;
pub mod secrets;
pub mod server;

mod error;
mod flaw;
mod key_kind;
mod pair;
mod trust;

pub use authority::{Authority, Issued, Subject, Validity};
pub use certificate::{Certificate, Details, Purposes};
pub use check::{check_config, parse_config};
pub use client::Client;
pub use clock::{Moment, NodeClock};
pub use error::Error;
pub use fingerprint::Fingerprint;
pub use flaw::{Day, Flaw};
pub use key::PrivateKey;
pub use key_kind::KeyKind;
pub use kubernetes::KubernetesSecrets;
pub use request::{SigningRequest, UnusableRequest};
pub use secrets::Secrets;
pub use server::{Mode, ServerTls, Serving, Trusted, trust_in};

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

/// Returns the only provider of cryptography: ring.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Fills a buffer with random bytes from the operating system.
fn random(buffer: &mut [u8]) -> Result<(), Error> {
    provider().secure_random.fill(buffer).map_err(|_| Error::Random)
}
