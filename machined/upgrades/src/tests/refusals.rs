//! What is refused before a byte is written.

use std::num::NonZeroU64;
use std::time::Instant;

use api::v1alpha1::{FindingLevel, UpgradeStage};
use backend::StartUpgrade;
use backend::UpgradeSource;
use samples::{Recipe, Release, noise};
use slots::{Record, Slot};
use state::kinds::upgrade::Mode;

use super::bench::start;
use super::bench::{Disk, Node, manifest_of, on_trial, recipe, signer};
use super::web::Web;
use crate::handle::Request;

/// Pushes a bundle, and returns why it was refused; nothing may have been written.
async fn refused(disk: &Disk, node: &Node, bundle: &[u8], force: bool) -> String {
    let before = std::fs::read(disk.path("b")).unwrap();
    let record = disk.record();
    node.push_with(bundle, Mode::Now, |start| start.force = force)
        .await
        .unwrap();
    let status = node.ended().await;
    assert_eq!(status.stage(), UpgradeStage::Failed);
    assert!(std::fs::read(disk.path("b")).unwrap() == before && disk.record() == record);
    status.reason
}

#[tokio::test]
async fn strangers_other_boards_and_old_releases_are_refused() {
    let signer = signer();
    let build = |edit: &dyn Fn(&mut Recipe<'static>)| -> Release {
        let mut recipe = recipe("0.2.0", 2, &signer);
        edit(&mut recipe);
        recipe.build(&signer)
    };
    let old = build(&|recipe| recipe.root = noise(2 << 20, 1));
    let disk = Disk::with(&old);
    let node = Node::start(&disk, Slot::A);
    let stranger = recipe("0.3.0", 2, &signer).build(&super::bench::signer());
    assert!(
        refused(&disk, &node, &stranger.bundle, true)
            .await
            .contains("signed by no trusted key")
    );
    let board = build(&|recipe| recipe.board = "another-board");
    let said = refused(&disk, &node, &board.bundle, true).await;
    assert!(
        said.contains("the bundle is for board another-board") && !said.contains("--force"),
        "{said}"
    );
    assert!(refused(&disk, &node, &old.bundle, true).await.contains("already"));
    assert!(
        refused(&disk, &node, b"not a bundle at all", true)
            .await
            .contains("not a bundle")
    );
    let large = build(&|recipe| recipe.root = noise(7 << 20, 9));
    assert!(
        refused(&disk, &node, &large.bundle, true)
            .await
            .contains("must be flashed again")
    );

    let older = build(&|recipe| recipe.version = "0.1.0".parse().unwrap());
    assert!(
        refused(&disk, &node, &older.bundle, false)
            .await
            .contains("older than 0.2.0")
    );
    disk.set_record(&Record::initial().raise_floor("0.1.5".parse().unwrap()));
    assert!(
        refused(&disk, &node, &older.bundle, true)
            .await
            .contains("below 0.1.5")
    );
    disk.set_record(&Record {
        floor: Default::default(),
        ..Record::initial()
    });
    node.push_with(&older.bundle, Mode::Now, |start| start.force = true)
        .await
        .unwrap();
    node.restarts().await;
    assert!(on_trial(disk.record(), Slot::B), "an admin may mean it");
}

#[tokio::test]
async fn a_node_that_is_not_well_refuses_unless_forced_and_its_plan_says_so() {
    let signer = signer();
    let old = recipe("0.1.0", 1, &signer).build(&signer);
    let new = recipe("0.2.0", 2, &signer).build(&signer);
    let disk = Disk::with(&old);
    let node = Node::start(&disk, Slot::A);
    node.set_health("unhealthy: containerd");
    let said = refused(&disk, &node, &new.bundle, false).await;
    assert!(
        said.contains("unhealthy: containerd") && said.contains("--force"),
        "{said}"
    );
    let plan = node
        .handle
        .shared
        .published
        .subscribe()
        .borrow()
        .plan
        .clone()
        .unwrap();
    assert_eq!(
        (plan.findings[0].code.as_str(), plan.findings[0].level()),
        ("unwell", FindingLevel::Refusal)
    );
    node.push_with(&new.bundle, Mode::Staged, |start| start.force = true)
        .await
        .unwrap();
    assert_eq!(node.ended().await.stage(), UpgradeStage::Armed);
}

#[tokio::test]
async fn a_system_on_trial_takes_none() {
    let signer = signer();
    let old = recipe("0.1.0", 1, &signer).build(&signer);
    let disk = Disk::with(&old);
    disk.set_record(&Record::initial().arm_trial(Slot::A, 2));
    let node = Node::start(&disk, Slot::A);
    let new = recipe("0.2.0", 2, &signer).build(&signer);
    assert!(
        refused(&disk, &node, &new.bundle, true)
            .await
            .contains("runs on trial")
    );
}

#[tokio::test]
async fn a_release_without_keys_can_trust_nobody() {
    let signer = signer();
    let mut mute = recipe("0.1.0", 1, &signer);
    mute.keys.clear();
    let disk = Disk::with(&mute.build(&signer));
    let node = Node::start(&disk, Slot::A);
    let new = recipe("0.2.0", 2, &signer).build(&signer);
    let said = refused(&disk, &node, &new.bundle, true).await;
    assert!(said.contains("has no list of trusted keys"), "{said}");
}

#[tokio::test]
async fn the_lower_limit_counts() {
    let signer = signer();
    let old = recipe("0.1.0", 1, &signer).build(&signer);
    let new = recipe("0.2.0", 2, &signer).build(&signer);
    let disk = Disk::with(&old);
    let node = Node::start(&disk, Slot::A);
    node.configure(|config| config.machine.upgrades.rate_limit = Some("1000k".parse().unwrap()));
    let started = Instant::now();
    let fast = NonZeroU64::new(1_000_000_000);
    node.push_with(&new.bundle, Mode::Staged, |start| start.rate_limit = fast)
        .await
        .unwrap();
    assert_eq!(node.ended().await.stage(), UpgradeStage::Armed);
    // More than two megabytes at one in a second, of which the first is let through.
    assert!(started.elapsed().as_millis() > 900, "{:?}", started.elapsed());
}

#[tokio::test]
async fn another_release_than_the_one_that_was_meant_is_refused() {
    let signer = signer();
    let old = recipe("0.1.0", 1, &signer).build(&signer);
    let meant = recipe("0.2.0", 2, &signer).build(&signer);
    let other = recipe("0.3.0", 3, &signer).build(&signer);
    let disk = Disk::with(&old);
    let node = Node::start(&disk, Slot::A);
    let before = std::fs::read(disk.path("b")).unwrap();
    let request = |url: &str| Request {
        start: StartUpgrade {
            force: true,
            ..start(UpgradeSource::Url(url.to_owned()), Mode::Now)
        },
        pushed: None,
        pin: Some(manifest_of(&meant)),
        resumed: None,
    };
    // Also one that takes its place while it is read.
    let (web, changing) = Web::serve(&meant.bundle);
    web.replace_after(2, &other.bundle);
    for url in [&Web::serve(&other.bundle).1, &changing] {
        node.handle.begin(request(url)).await.unwrap();
        let status = node.ended().await;
        assert_eq!(status.stage(), UpgradeStage::Failed);
        assert!(
            status.reason.contains("the bundle is 0.3.0") && status.reason.contains("requested"),
            "{}",
            status.reason
        );
        assert!(!disk.holds(Slot::B, &other) && !on_trial(disk.record(), Slot::B));
        if *url != changing {
            assert!(
                std::fs::read(disk.path("b")).unwrap() == before,
                "nothing was written"
            );
        }
    }
    assert_eq!(
        node.handle.shared.history.entries()[0].manifest,
        manifest_of(&meant).to_string()
    );
    node.handle
        .begin(request(&Web::serve(&meant.bundle).1))
        .await
        .unwrap();
    // What is pinned is of a rollout, and here is none that still wants it.
    assert_eq!(node.ended().await.stage(), UpgradeStage::Waiting);
    assert!(disk.holds(Slot::B, &meant) && !on_trial(disk.record(), Slot::B));
}
