//! A bundle that can only be read in order, as from the simplest web servers, is read once.

mod support;

use std::io::{self, Cursor, Read, Seek, SeekFrom};

use samples::{Recipe, Release, Signer};
use slots::{Slot, SlotState, TRIAL_TRIES};
use support::{Node, changed_root, moved_root, release, root};
use upgrade::{Choice, Source};

/// A bundle that counts how far it was read, and how often the position went back.
struct InOrder {
    bundle: Cursor<Vec<u8>>,
    passed: u64,
    restarts: u32,
}

impl InOrder {
    fn new(release: &Release) -> InOrder {
        InOrder {
            bundle: Cursor::new(release.bundle.clone()),
            passed: 0,
            restarts: 0,
        }
    }
}

impl Read for InOrder {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.restarts += u32::from(self.bundle.position() < self.passed && !out.is_empty());
        let came = self.bundle.read(out)?;
        self.passed = self.bundle.position();
        Ok(came)
    }
}

impl Seek for InOrder {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.bundle.seek(to)
    }
}

impl Source for InOrder {
    fn comes_in_order(&self) -> bool {
        true
    }
}

#[test]
fn it_is_read_once_and_costs_no_more_than_the_whole_bundle() {
    let signer = Signer::default();
    let old = release("1.0.0", root(), &signer);
    let recipe = |root| Recipe::new("1.1.0", root);
    let patched = Recipe {
        from: vec![&old],
        ..recipe(changed_root())
    };
    for new in [&patched, &recipe(moved_root()), &recipe(root())] {
        let new = new.build(&signer);
        let mut node = Node::on(&old);
        let mut source = InOrder::new(&new);
        let report = node.install(&mut source, signer.key()).unwrap();
        assert!(node.holds(&new));
        let armed = SlotState::Trial { tries: TRIAL_TRIES };
        assert_eq!(node.record().slot(Slot::B), armed);
        assert_eq!(report.plan.choice, Choice::InOrder);
        assert_eq!(source.restarts, 0);
        assert_eq!(
            report.plan.cost.total(),
            source.passed,
            "the plan says what comes"
        );
        assert!(report.plan.cost.total() <= report.plan.full);
    }
}
