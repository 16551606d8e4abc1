//! One version of what must be one.

use super::{Finding, Lint, Tree};

pub struct OneVersion;

/// Crates whose types cross crate borders, or which cost too much to have twice.
const SINGLE: &[&str] = &[
    "http", "hyper", "prost", "rustls", "serde", "tokio", "tonic", "tower",
];
/// Crates that implement cryptography for TLS: one of them is the provider.
const PROVIDERS: &[&str] = &[
    "aws-lc-rs",
    "ring",
    "rustls-openssl",
    "openssl-sys",
    "native-tls",
    "boring",
];
/// The provider that was chosen.
const PROVIDER: &str = "ring";

impl Lint for OneVersion {
    fn name(&self) -> &'static str {
        "one-version"
    }

    fn reason(&self) -> &'static str {
        "one gRPC, one TLS and one provider of cryptography in the whole tree: less to trust, smaller, and types that match"
    }

    fn check(&self, tree: &Tree) -> Vec<Finding> {
        let Some(lock) = tree.files.get("Cargo.lock") else {
            return vec![Finding::about("Cargo.lock", "is missing")];
        };
        let count = |name: &str| {
            lock.lines()
                .filter(|line| *line == format!("name = \"{name}\""))
                .count()
        };
        let doubled = SINGLE.iter().filter(|name| count(name) > 1);
        let doubled =
            doubled.map(|name| Finding::about("Cargo.lock", format!("{} versions of {name}", count(name))));
        let others = PROVIDERS
            .iter()
            .filter(|name| **name != PROVIDER && count(name) > 0);
        let others = others.map(|name| Finding::about("Cargo.lock", format!("{name} beside {PROVIDER}")));
        doubled.chain(others).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_version_and_a_second_provider_are_found() {
        let lock = "name = \"tonic\"\nname = \"tonic\"\nname = \"ring\"\nname = \"aws-lc-rs\"\n";
        let findings = OneVersion.check(&Tree::of(&[("Cargo.lock", lock)]));
        let expected = ["2 versions of tonic", "aws-lc-rs beside ring"];
        assert_eq!(findings, expected.map(|what| Finding::about("Cargo.lock", what)));
    }
}
