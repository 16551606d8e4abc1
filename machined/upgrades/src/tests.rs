//! Whole upgrades on a node of files: requested, written, tried, kept, refused, cancelled, rolled back.

pub(super) mod bench;
mod modes;
mod refusals;
mod rollbacks;
pub(super) mod web;

use state::kinds::upgrade::Mode;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use api::v1alpha1::{UpgradeOutcome, UpgradeStage};
use backend::Upgrades as _;
use bench::{Disk, Node, RecordingHook, on_trial, recipe, signer};
use node::power::Stop;
use slots::{Slot, SlotState};
use state::kinds::TrialStatus;
use web::Web;

#[tokio::test]
async fn a_pushed_bundle_is_written_tried_kept_and_remembered() {
    let signer = signer();
    let old = recipe("0.1.0", 1, &signer).build(&signer);
    let mut new = recipe("0.2.0", 1, &signer);
    new.root[1000..1100].fill(0);
    new.from = vec![&old];
    let new = new.build(&signer);
    let disk = Disk::with(&old);
    let calls = Arc::new(Mutex::new(0));
    let before: Vec<Arc<dyn crate::hooks::BeforeReboot>> = [true, false]
        .map(|fails| {
            Arc::new(RecordingHook {
                calls: calls.clone(),
                fails,
            }) as _
        })
        .to_vec();
    let node = Node::start_with(&disk, Slot::A, before);

    let id = node.push(&new.bundle, Mode::Now).await.unwrap();
    let status = node.ended().await;
    assert_eq!(
        (status.stage(), status.id.as_str()),
        (UpgradeStage::Rebooting, id.as_str()),
        "{}",
        status.reason
    );
    node.restarts().await;
    assert_eq!(
        *calls.lock().unwrap(),
        2,
        "a failing hook does not block the restart"
    );
    assert!(on_trial(disk.record(), Slot::B) && disk.holds(Slot::B, &new));
    let plan = status.plan.unwrap();
    assert_eq!(
        (
            plan.to_version.as_str(),
            plan.patches_from.as_str(),
            plan.slot.as_str()
        ),
        ("0.2.0", "0.1.0", "b")
    );
    assert_eq!(
        plan.fetch_bytes, status.fetched_bytes,
        "exactly the planned bytes were fetched"
    );
    assert!(
        plan.fetch_bytes * 10 < plan.full_bytes,
        "{} of {}",
        plan.fetch_bytes,
        plan.full_bytes
    );
    assert!(node.handle.history().await.unwrap()[0].outcome() == UpgradeOutcome::Unspecified);

    // The new system shares STATE with the old one. First it is on trial, then it is kept.
    let mut node = Node::start(&disk, Slot::B);
    node.publish(TrialStatus::Waiting { deadline_ms: 1000 });
    node.keep().await;
    assert!(node.handle.history().await.unwrap()[0].outcome() == UpgradeOutcome::Unspecified);
    disk.set_record(&disk.record().commit(Slot::B));
    node.publish(TrialStatus::Committed);
    node.keep().await;
    node.keep().await;
    let history = node.handle.history().await.unwrap();
    assert_eq!(history.len(), 1);
    assert_eq!(
        (history[0].outcome(), history[0].id.as_str()),
        (UpgradeOutcome::Committed, id.as_str())
    );
    assert_eq!(
        (history[0].from_version.as_str(), history[0].to_version.as_str()),
        ("0.1.0", "0.2.0")
    );
}

#[tokio::test]
async fn a_trial_that_failed_is_told_by_the_old_system() {
    let signer = signer();
    let old = recipe("0.1.0", 1, &signer).build(&signer);
    let new = recipe("0.2.0", 2, &signer).build(&signer);
    let disk = Disk::with(&old);
    let node = Node::start(&disk, Slot::A);
    node.push(&new.bundle, Mode::Now).await.unwrap();
    node.restarts().await;
    // What the new system does when it falls back.
    let record = disk.record().mark_bad(Slot::B, slots::Reason::NotHealthy);
    disk.set_record(&record);
    let diary = crate::trial::Diary {
        slot: Slot::B,
        manifest: crate::trial::release_in(&disk.path("b"), None).unwrap().id(),
        version: "0.2.0".into(),
        boot_id: "the-trial".into(),
        stage: crate::trial::TrialStage::Storage,
        uptime_ms: 5,
        checks: Vec::new(),
        reason: "slot b was not healthy in time".into(),
        log: "[    1.000000] one\n[    2.000000] the last\n".into(),
    };
    disk.places().diary().write(&diary).unwrap();

    let mut node = Node::start(&disk, Slot::A);
    node.keep().await;
    let told = &node.handle.history().await.unwrap()[0];
    assert_eq!(told.outcome(), UpgradeOutcome::FellBack);
    assert!(
        told.cause.starts_with("slot b was not healthy in time"),
        "{}",
        told.cause
    );
    assert_eq!((told.trial_stage.as_str(), told.kernel_log.len()), ("storage", 2));
    let events = node.events.follow(Some(1)).try_next().unwrap().item;
    assert!(
        events
            .message
            .contains("0.2.0 failed, and 0.1.0 is running again"),
        "{}",
        events.message
    );
    // And a new attempt is free to be made.
    node.push(&new.bundle, Mode::Now).await.unwrap();
    node.restarts().await;
    assert!(on_trial(disk.record(), Slot::B));
}

#[tokio::test]
async fn a_bundle_is_fetched_from_a_server_and_opened_anew_when_it_is_replaced() {
    let signer = signer();
    let old = recipe("0.1.0", 1, &signer).build(&signer);
    let second = recipe("0.2.0", 2, &signer).build(&signer);
    let third = recipe("0.3.0", 3, &signer).build(&signer);
    let disk = Disk::with(&old);
    let (web, url) = Web::serve(&second.bundle);
    web.replace_after(2, &third.bundle);
    let node = Node::start(&disk, Slot::A);
    node.fetch(&url, Mode::Now).await.unwrap();
    let status = node.ended().await;
    assert_eq!(
        (status.stage(), status.to_version.as_str()),
        (UpgradeStage::Rebooting, "0.3.0"),
        "{}",
        status.reason
    );
    node.restarts().await;
    assert!(disk.holds(Slot::B, &third) && on_trial(disk.record(), Slot::B));
}

#[tokio::test]
async fn servers_behind_a_balancer_may_mark_the_same_file_differently() {
    let signer = signer();
    let old = recipe("0.1.0", 1, &signer).build(&signer);
    let new = recipe("0.2.0", 2, &signer).build(&signer);
    let disk = Disk::with(&old);
    let node = Node::start(&disk, Slot::A);
    let (web, url) = Web::serve(&new.bundle);
    web.balanced.store(true, Ordering::SeqCst);
    node.fetch(&url, Mode::Staged).await.unwrap();
    let status = node.ended().await;
    assert_eq!(status.stage(), UpgradeStage::Armed, "{}", status.reason);
    assert!(disk.holds(Slot::B, &new));
    assert!(
        web.requests.load(Ordering::SeqCst) > 1,
        "one request has one mark"
    );
}

#[tokio::test]
async fn a_server_without_ranges_sends_the_file_once() {
    let signer = signer();
    let old = recipe("0.1.0", 1, &signer).build(&signer);
    let mut new = recipe("0.2.0", 2, &signer);
    new.from = vec![&old];
    let new = new.build(&signer);
    let disk = Disk::with(&old);
    let node = Node::start(&disk, Slot::A);
    let (web, url) = Web::serve(&new.bundle);
    web.plain.store(true, Ordering::SeqCst);
    node.fetch(&url, Mode::Staged).await.unwrap();
    let status = node.ended().await;
    assert_eq!(status.stage(), UpgradeStage::Armed, "{}", status.reason);
    assert!(disk.holds(Slot::B, &new));
    let plan = status.plan.unwrap();
    assert!(plan.reason.contains("does not support ranges"), "{}", plan.reason);
    assert_eq!(web.requests.load(Ordering::SeqCst), 1);
    assert!(status.fetched_bytes <= plan.full_bytes);
}

#[tokio::test]
async fn an_upgrade_that_a_restart_interrupted_is_begun_again() {
    let signer = signer();
    let old = recipe("0.1.0", 1, &signer).build(&signer);
    let new = recipe("0.2.0", 2, &signer).build(&signer);
    let disk = Disk::with(&old);
    let (web, url) = Web::serve(&new.bundle);
    web.down.store(true, Ordering::SeqCst);
    let with_user = url.replace("//", "//me:secret@");
    let id = {
        let node = Node::start(&disk, Slot::A);
        let id = node.fetch(&with_user, Mode::Staged).await.unwrap();
        while web.requests.load(Ordering::SeqCst) < 2 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        node.power.request(Stop::Reboot);
        while node.handle.busy().await.is_some() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        id
    };
    let mut node = Node::start(&disk, Slot::A);
    let shown = format!(
        "{:?} {:?}",
        node.handle.history().await.unwrap(),
        node.store.list_dyn("UpgradeStatus")
    );
    assert!(shown.contains(&id) && !shown.contains("secret"), "{shown}");
    node.set_health("unhealthy: containerd");
    node.keep().await;
    assert_eq!(node.handle.busy().await, None, "it has to become healthy first");
    node.set_health("");
    web.down.store(false, Ordering::SeqCst);
    node.keep().await;
    let status = node.ended().await;
    assert_eq!(
        (status.stage(), status.id),
        (UpgradeStage::Armed, id),
        "{}",
        status.reason
    );
    assert!(on_trial(disk.record(), Slot::B) && disk.holds(Slot::B, &new));
    assert_eq!(node.handle.history().await.unwrap().len(), 1);
    assert_eq!(node.power.requested(), None);
    assert_eq!(disk.record().slot(Slot::A), SlotState::Committed);
}
