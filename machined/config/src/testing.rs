//! Places for a machine config in a temporary folder, and callers who may change it.

#![allow(clippy::unwrap_used)] // It is for tests.

use std::sync::Arc;
use std::time::SystemTime;

use api::Role;
use backend::Caller;
use machine_config::MachineConfig;
use pki::authority::SERVER_LIFE;
use pki::{NodeClock, ServerTls, Serving, Validity};
use state::testkit::authority;
use storage::OwnerFile;
use tempfile::TempDir;

use crate::ConfigDisk;

/// Whoever may apply a config to a node with that one.
pub fn caller(config: Option<&MachineConfig>) -> Caller {
    let clock = Arc::new(NodeClock::trusting());
    let tls = Arc::new(ServerTls::new());
    let validity = Validity::starting(SystemTime::now(), SERVER_LIFE);
    let serving = match config {
        Some(config) => {
            let issued = authority().issue_server("node1", &[], validity).unwrap();
            Serving::mutual(&config.machine.ca.cert.to_string(), &issued, clock.clone())
        }
        None => Serving::maintenance(&pki::authority::maintenance(&[]).unwrap()),
    };
    tls.set(Some(serving.unwrap()));
    Caller::current(config.map(|_| Role::Admin), tls, clock)
}

/// A folder for STATE, and a file for CONFIG.
pub fn places() -> (TempDir, ConfigDisk) {
    let dir = TempDir::new().unwrap();
    let [medium, state, bootstate] = ["CONFIG", "state", "BOOTSTATE"].map(|name| dir.path().join(name));
    for partition in [&medium, &bootstate] {
        std::fs::write(partition, vec![0; 1 << 20]).unwrap();
    }
    std::fs::create_dir(&state).unwrap();
    (
        dir,
        ConfigDisk {
            medium: Some(medium),
            file: None,
            state,
            state_lost: false,
            owner: OwnerFile::new(Some(bootstate)),
        },
    )
}
