//! Where things are: the tree, and the folders under `target/` that tasks share.

use std::path::{Path, PathBuf};

/// Returns the root of the source tree.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in the workspace root")
}

/// Returns the folder cargo builds into.
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// Returns the folder of the tools that people are told to use: optimised (profile `tools`).
pub fn tools() -> PathBuf {
    target().join("tools")
}

/// Returns the folder of programs built for this machine as tests run them.
pub fn host_programs() -> PathBuf {
    target().join("debug")
}

/// Returns the folder of the logs of the last `cargo xtask test`.
pub fn test_logs() -> PathBuf {
    target().join("test-logs")
}

/// Returns the folder that `bedplate-image --binaries` reads: `<arch>/{machined,pause,bootloader.efi,crates.json}`.
pub fn node_programs() -> PathBuf {
    target().join("node")
}

/// Returns a folder like that of [`node_programs`], whose agent is built another way: what `bench` upgrades from.
pub fn other_node_programs() -> PathBuf {
    target().join("node-other")
}

/// Returns the per-user cache folder, for what outlives a clone.
pub fn cache() -> PathBuf {
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let base = base.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")));
    base.unwrap_or_else(target).join("bedplate")
}
