//! Fuzz targets: every format that comes from outside, and its invariants for arbitrary bytes.
//!
//! A target is a function that takes bytes and panics when an invariant is broken: a reader panics, a value has two forms,
//! a limit is exceeded. Where a checksum or a signature would stop the fuzzer, the target repairs or makes it, and goes
//! on. [`TARGETS`] lists them; `main.rs` runs one of them with libFuzzer, and the test `corpus` runs each on every input
//! under `corpus/`, with nothing but cargo.
//!
//! Targets implement the formats of `docs/formats.md`: the crates are compared with what is written there.

extern crate alloc;

mod announcement;
mod boards;
mod boot;
mod bundle_file;
mod bundle_header;
mod bundle_index;
mod certificate_request;
mod cloud_data;
mod compose_file;
mod configs;
mod container_images;
mod dns;
mod key_chain;
mod manifests;
mod owner_record;
mod partition_table;
mod patch;
mod patch_index;
mod rollout_file;
mod services;
mod signatures;
mod slot_record;
mod slot_texts;

mod loader_gpt;
mod sample;

use std::sync::OnceLock;

/// A fuzz target.
#[derive(Debug)]
pub struct Target {
    /// Its name, and that of its directory under `corpus/`.
    pub name: &'static str,
    /// The function that takes any bytes, and panics when an invariant is broken.
    pub run: fn(&[u8]),
}

/// Lists the targets by name.
pub const TARGETS: &[Target] = &[
    target("announcement", announcement::packet),
    target("board", boards::board),
    target("boot", boot::boot),
    target("bundle", bundle_file::bundle),
    target("bundle-header", bundle_header::header),
    target("bundle-index", bundle_index::index),
    target("certificate-request", certificate_request::request),
    target("cloud-volume", cloud_data::volume),
    target("compose", compose_file::translate),
    target("config-partition", configs::partition),
    target("dns-question", dns::question),
    target("image-config", container_images::config),
    target("image-index", container_images::index),
    target("image-manifest", container_images::manifest),
    target("key-chain", key_chain::chain),
    target("keyring", slot_texts::keyring),
    target("machine-config", configs::document),
    target("manifest", manifests::manifest),
    target("meta-data", cloud_data::meta_data),
    target("network-data", cloud_data::network_data),
    target("overlay", boards::overlay),
    target("owner-record", owner_record::record),
    target("partition-table", partition_table::table),
    target("patch", patch::patch),
    target("patch-index", patch_index::index),
    target("registry-answer", container_images::answer),
    target("rollout", rollout_file::rollout),
    target("services", services::services),
    target("signatures", signatures::signatures),
    target("slot-record", slot_record::record),
    target("slot-trailer", slot_texts::trailer),
    target("user-data", cloud_data::user_data),
];

/// The environment variable that selects the target.
pub const VARIABLE: &str = "FUZZ_TARGET";

/// Returns the target that [`VARIABLE`] names.
///
/// # Panics
///
/// Panics when there is no target of that name.
pub fn chosen() -> &'static Target {
    static CHOSEN: OnceLock<&Target> = OnceLock::new();
    CHOSEN.get_or_init(|| {
        let name = std::env::var(VARIABLE).unwrap_or_default();
        find(&name).unwrap_or_else(|| {
            let known: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
            panic!("{VARIABLE} is {name:?}; known targets: {}", known.join(", "))
        })
    })
}

/// Finds a target by its name.
pub fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

const fn target(name: &'static str, run: fn(&[u8])) -> Target {
    Target { name, run }
}
