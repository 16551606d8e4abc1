//! Who must not depend on whom.

use super::{Finding, Lint, Tree};

pub struct Dependencies;

/// A crate, what it must never link (directly or not), and why.
const NEVER: &[(&str, &[&str], &str)] = &[
    ("slots", IO, "the slot record is bytes in, bytes out"),
    ("owner", IO, "the owner record is bytes in, bytes out"),
    ("manifest", IO, "the manifest is bytes in, bytes out"),
    (
        "machine-config",
        IO,
        "a config is checked the same on every machine",
    ),
    (
        "kubernetes",
        IO,
        "what a cluster is started with is a table and decisions: golden files show all of it",
    ),
    (
        "cloud",
        IO,
        "what comes from a cloud is read the same in fuzz targets as on a node",
    ),
    (
        "compose",
        IO,
        "a file is translated the same in a fuzz target as by the CLI",
    ),
    (
        "cluster-zone",
        IO,
        "who answers for a name is a table test and a fuzz target, without a server",
    ),
    (
        "announcement",
        IO,
        "what anybody on the network sends is read in table tests and a fuzz target, without a socket",
    ),
    (
        "firmware-files",
        IO,
        "what an ESP has to hold is compared the same when an image is built and when it runs",
    ),
    (
        "firmware-trial",
        IO,
        "the mark of a firmware trial is bytes in, bytes out",
    ),
    (
        "service-definition",
        IO,
        "services are checked the same when an image is built and when it runs",
    ),
    (
        "bootloader-core",
        IO,
        "the decision which slot boots is tested on the host, without firmware",
    ),
    (
        "bootloader-core",
        &["uefi", "uefi-raw"],
        "the decision which slot boots makes no firmware calls",
    ),
    (
        "images",
        &["machined", "state"],
        "images are built without the agent's code; its binary is an input",
    ),
    (
        "flash-tool",
        &["machined", "state"],
        "a flashed disk and an upgrade meet in the formats, not in the agent",
    ),
    (
        "ctl",
        &["machined", "state"],
        "the CLI knows a node by its API only",
    ),
    ("ctl", TESTS, "what helps tests is not shipped"),
    ("flash-tool", TESTS, "what helps tests is not shipped"),
    ("images", TESTS, "what helps tests is not shipped"),
    ("machined", TESTS, "what helps tests is not shipped"),
];

/// The parts of machined, and those that each may link. The agent puts them together, so it may link all.
///
/// A part knows others by their kinds of resources and by the traits of `backend`, never by their code.
const PARTS: &[(&str, &[&str])] = &[
    ("state", &[]),
    ("node", &["state"]),
    ("backend", &["state"]),
    ("clock", &["state"]),
    ("cluster", &["state"]),
    ("kubernetes-client", &["state"]),
    ("etcd", &["backend", "etcd-client", "node", "state"]),
    ("etcd-client", &["state"]),
    ("balancer", &["state"]),
    ("discovery", &["state"]),
    ("dns", &["kubernetes-client", "state"]),
    ("network", &["state"]),
    ("kubernetes-node", &["kubernetes-client", "node", "state"]),
    ("manifests", &["kubernetes-client", "state"]),
    ("virtual-ip", &["etcd-client", "node", "state"]),
    ("pod-network", &["kubernetes-client", "node", "state"]),
    ("storage", &["node", "state"]),
    ("health", &["node", "state"]),
    ("containerd", &["backend", "state"]),
    ("services", &["backend", "containerd", "node", "state"]),
    ("workloads", &["backend", "containerd", "node", "state"]),
    ("upgrades", &["backend", "node", "state"]),
    ("firmware", &["backend", "node", "state"]),
    ("config", &["backend", "node", "state", "storage"]),
    ("server", &["backend", "clock", "node", "state"]),
    (
        "trust",
        &[
            "backend",
            "clock",
            "etcd-client",
            "kubernetes-client",
            "node",
            "server",
            "state",
        ],
    ),
];

/// Crates for tests alone.
const TESTS: &[&str] = &["control-plane-testkit", "powercut", "samples"];

/// Crates that do input or output.
const IO: &[&str] = &[
    "tokio", "nix", "rustix", "sys", "ureq", "tempfile", "mio", "socket2",
];

impl Lint for Dependencies {
    fn name(&self) -> &'static str {
        "dependencies"
    }

    fn reason(&self) -> &'static str {
        "the architecture is who may use whom; a convenient dependency would undo it unseen"
    }

    fn check(&self, tree: &Tree) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (name, never, why) in NEVER {
            if !tree.crates.contains_key(*name) {
                findings.push(Finding::about(
                    "Cargo.toml",
                    format!("the rule names crate {name}, which is gone"),
                ));
            }
            let linked = tree.all_dependencies(name);
            for other in never.iter().filter(|other| linked.contains(*other)) {
                findings.push(Finding::about(
                    "Cargo.lock",
                    format!("{name} depends on {other}, but {why}"),
                ));
            }
        }
        findings.extend(parts(tree));
        findings
    }
}

/// Holds the parts of machined against the table of what each may link.
fn parts(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, allowed) in PARTS {
        if !tree.crates.contains_key(*name) {
            let gone = format!("the table of machined's parts names crate {name}, which is gone");
            findings.push(Finding::about("Cargo.toml", gone));
        }
        let linked = tree.all_dependencies(name);
        let others = PARTS
            .iter()
            .map(|(other, _)| *other)
            .filter(|other| other != name);
        for other in others.filter(|other| linked.contains(other) && !allowed.contains(other)) {
            findings.push(Finding::about(
                "Cargo.lock",
                format!(
                    "{name} depends on {other}, but parts of machined meet in their kinds of resources; move what both need down"
                ),
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_forbidden_dependency_is_found_behind_another() {
        let mut tree = Tree::default();
        for name in NEVER
            .iter()
            .map(|rule| rule.0)
            .chain(PARTS.iter().map(|part| part.0))
        {
            tree.crates.insert(name.to_owned(), BTreeSet::new());
        }
        assert_eq!(Dependencies.check(&tree), []);
        tree.crates
            .insert("images".into(), BTreeSet::from(["between".to_owned()]));
        tree.crates
            .insert("between".into(), BTreeSet::from(["machined".to_owned()]));
        let findings = Dependencies.check(&tree);
        assert_eq!(findings.len(), 1);
        assert!(findings[0].what.starts_with("images depends on machined"));
    }

    #[test]
    fn a_part_of_machined_links_those_below_it() {
        let mut tree = Tree::default();
        for name in NEVER
            .iter()
            .map(|rule| rule.0)
            .chain(PARTS.iter().map(|part| part.0))
        {
            tree.crates.insert(name.to_owned(), BTreeSet::new());
        }
        let mut link = |from: &str, to: &str| {
            tree.crates
                .insert(from.to_owned(), BTreeSet::from([to.to_owned()]));
            Dependencies.check(&tree)
        };
        assert_eq!(link("network", "state"), []);
        let findings = link("network", "health");
        assert!(findings[0].what.starts_with("network depends on health"));
    }

    #[test]
    fn a_rule_about_a_crate_that_is_gone_is_said() {
        assert_eq!(
            Dependencies.check(&Tree::default()).len(),
            NEVER.len() + PARTS.len()
        );
    }
}
