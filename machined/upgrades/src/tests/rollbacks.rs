//! Going back to the system before.

use api::v1alpha1::UpgradeOutcome;
use backend::{BackendError, Upgrades as _};
use slots::{Record, Slot, SlotState};
use state::kinds::upgrade::Mode;

use super::bench::{Disk, Node, recipe, signer};
use super::web::Web;

/// A node that was upgraded from A to B, and kept it.
fn upgraded() -> (Disk, Node) {
    let signer = signer();
    let disk = Disk::with(&recipe("0.1.0", 1, &signer).build(&signer));
    disk.put(Slot::B, &recipe("0.2.0", 2, &signer).build(&signer));
    disk.set_record(&Record::initial().commit(Slot::B));
    let node = Node::start(&disk, Slot::B);
    (disk, node)
}

#[tokio::test]
async fn a_system_that_was_kept_is_started_as_kept() {
    let (disk, node) = upgraded();
    assert_eq!(node.handle.rollback().await.unwrap(), "0.1.0");
    node.restarts().await;
    let record = disk.record();
    assert_eq!(
        (record.preferred, record.slots),
        (Slot::A, [SlotState::Committed; 2])
    );
    let told = &node.handle.history().await.unwrap()[0];
    assert_eq!(told.outcome(), UpgradeOutcome::RolledBack);
    assert_eq!(
        (told.from_version.as_str(), told.to_version.as_str()),
        ("0.2.0", "0.1.0")
    );
    let again = node.handle.rollback().await.unwrap_err();
    assert!(again.to_string().contains("stopping"), "{again}");
}

#[tokio::test]
async fn a_system_on_trial_is_left_for_good() {
    let (disk, node) = upgraded();
    disk.set_record(&Record::initial().arm_trial(Slot::B, 2));
    node.handle.rollback().await.unwrap();
    node.restarts().await;
    let record = disk.record();
    assert_eq!(
        (record.preferred, record.slot(Slot::B)),
        (Slot::A, SlotState::Empty)
    );
}

#[tokio::test]
async fn an_upgrade_that_is_left_on_trial_is_not_begun_again() {
    let signer = signer();
    let disk = Disk::with(&recipe("0.1.0", 1, &signer).build(&signer));
    let new = recipe("0.2.0", 2, &signer).build(&signer);
    let (_web, url) = Web::serve(&new.bundle);
    let node = Node::start(&disk, Slot::A);
    node.fetch(&url, Mode::Now).await.unwrap();
    node.restarts().await;

    let node = Node::start(&disk, Slot::B);
    node.handle.rollback().await.unwrap();
    node.restarts().await;
    let mut node = Node::start(&disk, Slot::A);
    node.keep().await;
    assert_eq!(node.handle.busy().await, None);
    let history = node.handle.history().await.unwrap();
    let told: Vec<_> = history
        .iter()
        .map(|record| (record.to_version.as_str(), record.outcome()))
        .collect();
    assert_eq!(
        told,
        [
            ("0.1.0", UpgradeOutcome::RolledBack),
            ("0.2.0", UpgradeOutcome::RolledBack)
        ]
    );
}

#[tokio::test]
async fn what_would_not_start_is_not_gone_back_to() {
    let refused = async |node: &Node| match node.handle.rollback().await {
        Err(BackendError::Refused(reason)) => reason,
        other => panic!("{other:?}"),
    };
    let (disk, node) = upgraded();
    disk.set_record(&disk.record().mark_bad(Slot::A, slots::Reason::KernelHash));
    assert!(
        refused(&node)
            .await
            .contains("was never committed (bad: kernel hash")
    );
    disk.set_record(
        &Record::initial()
            .commit(Slot::B)
            .raise_floor("0.2.0".parse().unwrap()),
    );
    assert!(refused(&node).await.contains("below 0.2.0"));

    let (disk, node) = upgraded();
    let mut bytes = std::fs::read(disk.path("a")).unwrap();
    bytes[1_000_000] ^= 1;
    std::fs::write(disk.path("a"), &bytes).unwrap();
    let before = disk.record();
    assert!(refused(&node).await.contains("no longer holds 0.1.0"));
    assert_eq!((disk.record(), node.power.requested()), (before, None));
    bytes.fill(0);
    std::fs::write(disk.path("a"), &bytes).unwrap();
    assert!(refused(&node).await.contains("holds no system"));
}

#[tokio::test]
async fn one_of_a_retired_key_is_not_gone_back_to() {
    let (one, two) = (signer(), signer());
    let disk = Disk::with(&recipe("0.1.0", 1, &one).build(&one));
    disk.put(Slot::B, &recipe("0.2.0", 2, &two).build(&two));
    disk.set_record(&Record::initial().commit(Slot::B));
    let node = Node::start(&disk, Slot::B);
    let error = node.handle.rollback().await.unwrap_err();
    assert!(error.to_string().contains("signed by no trusted key"), "{error}");
}

#[tokio::test]
async fn nothing_is_gone_back_to_while_an_upgrade_is_under_way() {
    let signer = signer();
    let disk = Disk::with(&recipe("0.1.0", 1, &signer).build(&signer));
    let node = Node::start(&disk, Slot::A);
    let new = recipe("0.2.0", 2, &signer).build(&signer);
    node.push(&new.bundle, Mode::Staged).await.unwrap();
    node.ended().await;
    assert!(
        node.handle
            .rollback()
            .await
            .unwrap_err()
            .to_string()
            .contains("cancel")
    );
}
