//! A machine config for tests, and the authority that it trusts.

#![allow(clippy::unwrap_used)] // It is for tests.

use std::sync::OnceLock;
use std::time::SystemTime;

use machine_config::{MachineConfig, Secret};
use pki::Authority;

/// The authority of the configs here.
pub fn authority() -> &'static Authority {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    AUTHORITY.get_or_init(|| Authority::generate("home", SystemTime::now()).unwrap())
}

/// A config with a module.
pub fn config() -> MachineConfig {
    let mut config = machine_config::parse(
        "apiVersion: bedplate.dev/v1alpha1
kind: MachineConfig
machine:
  role: standalone
  hostname: node1
  ca:
    cert: \"-----BEGIN CERTIFICATE-----\\nMIIB\\n-----END CERTIFICATE-----\"
    key: \"-----BEGIN PRIVATE KEY-----\\nMC4C\\n-----END PRIVATE KEY-----\"
  modules: [dummy]
",
    )
    .unwrap();
    config.machine.ca.cert = authority().certificate_pem().parse().unwrap();
    config.machine.ca.key = Some(Secret::new(authority().key_pem().as_str()));
    config
}
