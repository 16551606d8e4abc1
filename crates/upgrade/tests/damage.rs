//! However a bundle is damaged, a node never puts wrong bytes on trial and never writes to its running slot.

mod support;

use std::sync::LazyLock;

use proptest::prelude::*;
use samples::{Recipe, Release, Signer};
use slots::{Slot, SlotState};
use support::{Counted, Node, changed_root, release, root};

struct World {
    signer: Signer,
    old: Release,
    new: Release,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let signer = Signer::default();
    let old = release("1.0.0", root(), &signer);
    let recipe = Recipe::new("1.1.0", changed_root());
    let new = Recipe {
        from: vec![&old],
        ..recipe
    }
    .build(&signer);
    World { signer, old, new }
});

/// Installs a damaged bundle, and checks what must hold of any outcome.
fn outcome(bundle: &[u8]) -> Result<bool, TestCaseError> {
    let World { signer, old, new } = &*WORLD;
    let mut node = Node::on(old);
    let running = node.a.clone();
    let result = node.install(Counted::new(bundle), signer.key());
    prop_assert!(node.a == running, "the running slot was written");
    let record = node.record();
    if result.is_ok() {
        prop_assert!(node.holds(new));
        prop_assert_eq!(record.preferred, Slot::B);
    } else {
        prop_assert_eq!(record.slot(Slot::B), SlotState::Empty);
        prop_assert_eq!(record.slot(Slot::A), SlotState::Committed);
        prop_assert_eq!(record.preferred, Slot::A);
    }
    Ok(result.is_ok())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_flipped_bit_is_refused_or_repaired(at: prop::sample::Index, bit in 0u8..8) {
        let mut bundle = WORLD.new.bundle.clone();
        let at = at.index(bundle.len());
        bundle[at] ^= 1 << bit;
        outcome(&bundle)?;
    }

    /// The patches are a small part of the file, so they get a test of their own.
    #[test]
    fn a_flipped_bit_in_the_patches_costs_only_frames(at: prop::sample::Index, bit in 0u8..8) {
        let set = WORLD.new.manifest.patches[0].clone();
        let start = (set.offset + set.index_size) as usize;
        let mut bundle = WORLD.new.bundle.clone();
        bundle[start + at.index(set.size as usize)] ^= 1 << bit;
        prop_assert!(outcome(&bundle)?);
    }

    #[test]
    fn a_truncated_bundle_is_refused(at: prop::sample::Index) {
        let bundle = &WORLD.new.bundle;
        prop_assert!(!outcome(&bundle[..at.index(bundle.len())])?);
    }
}

#[test]
fn a_bundle_with_an_unknown_key_is_refused() {
    let mut node = Node::on(&WORLD.old);
    let key = Signer::default().key();
    assert!(node.install(Counted::new(&WORLD.new.bundle), key).is_err());
    assert_eq!(
        node.bootstate,
        Node::on(&WORLD.old).bootstate,
        "nothing was written"
    );
}
