//! Which bundles a node refuses, and the message it gives.

mod support;

use samples::{Recipe, Signer};
use slots::{Reason, Slot, SlotState};
use upgrade::{Node, Refusal, refusals};

fn bundle(version: &str) -> manifest::Manifest {
    Recipe::new(version, vec![1; 4096])
        .build(&Signer::default())
        .manifest
}

/// A node that accepts `bundle`.
fn node(bundle: &manifest::Manifest) -> Node {
    Node {
        board: bundle.board.clone(),
        arch: bundle.arch,
        version: "1.0.0".parse().expect("a version"),
        root_hash: manifest::Digest::of(b"another image"),
        floor: "0.9.0".parse().expect("a version"),
        running: (Slot::A, SlotState::Committed),
        partition_len: bundle.disk.slot_size,
        unhealthy: Vec::new(),
    }
}

#[test]
fn a_suitable_bundle_is_accepted() {
    let bundle = bundle("1.1.0");
    assert_eq!(refusals(&bundle, &node(&bundle)), []);
    let mut survivor = node(&bundle);
    survivor.running.1 = SlotState::Bad(Reason::NotHealthy);
    assert_eq!(refusals(&bundle, &survivor), [], "a way out of a bad slot");
}

#[test]
fn each_reason_is_found_alone_and_names_the_way_out() {
    type Spoil = fn(&mut Node, &manifest::Manifest);
    let cases: &[(&str, Spoil, bool, &str)] = &[
        (
            "1.1.0",
            |n, _| n.board = "rpi3".into(),
            false,
            "use the bundle for rpi3",
        ),
        (
            "1.1.0",
            |n, _| n.arch = manifest::Arch::Amd64,
            false,
            "this node runs amd64",
        ),
        (
            "1.1.0",
            |n, _| n.floor = "1.1.1".parse().expect("a version"),
            false,
            "use a newer bundle",
        ),
        ("0.9.5", |_, _| {}, true, "--force"),
        (
            "1.1.0",
            |n, b| n.partition_len = b.slot.size + 65_535,
            false,
            "must be flashed again",
        ),
        (
            "1.1.0",
            |n, _| n.running.1 = SlotState::Trial { tries: 2 },
            false,
            "wait until it is committed",
        ),
        (
            "1.1.0",
            |n, _| n.unhealthy = vec!["no network".into()],
            true,
            "no network",
        ),
        (
            "1.1.0",
            |n, b| (n.version, n.root_hash) = (b.version, b.slot.verity.root_hash),
            false,
            "is already running",
        ),
    ];
    for (version, spoil, forcible, says) in cases {
        let bundle = bundle(version);
        let mut node = node(&bundle);
        spoil(&mut node, &bundle);
        let found = refusals(&bundle, &node);
        let [refusal] = found.as_slice() else {
            panic!("{says}: {found:?}");
        };
        assert_eq!(refusal.can_be_forced(), *forcible, "{refusal}");
        assert!(refusal.to_string().contains(says), "{refusal}");
    }
}

#[test]
fn all_reasons_are_listed_at_once() {
    let bundle = bundle("0.1.0");
    let mut node = node(&bundle);
    node.board = "rpi3".into();
    let found = refusals(&bundle, &node);
    assert_eq!(found.len(), 3);
    assert!(matches!(found[0], Refusal::Board { .. }));
}

#[test]
fn an_exact_fit_is_accepted() {
    let bundle = bundle("1.1.0");
    let mut node = node(&bundle);
    node.partition_len = bundle.slot.size + 65_536;
    assert_eq!(refusals(&bundle, &node), []);
}
